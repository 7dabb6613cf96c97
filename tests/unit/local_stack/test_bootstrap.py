"""The set-up script, which must run with nothing but a standard library."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import bootstrap

SCRIPT = Path(bootstrap.__file__)


def test_it_imports_nothing_but_the_standard_library() -> None:
    answer = subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), "--check"], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stderr) == (0, "")


def test_a_missing_java_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), "--check"], capture_output=True, text=True, check=False, env=environ
    )
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "no Java found" in answer.stderr
    assert "install a JDK" in answer.stderr


def test_an_old_java_is_named(tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    answer = subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), "--check"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{tmp_path}:/bin:/usr/bin"},
    )
    assert "Java 11 found, 17 or newer needed" in answer.stderr


def test_lines_of_one_package_come_with_their_hashes() -> None:
    lines = bootstrap.lines_of("setuptools")
    assert lines.startswith("setuptools==")
    assert "--hash=sha256:" in lines
    assert lines.count("==") == 1


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "NEEDED_DISK_GIB", 10**9)
    monkeypatch.setattr(bootstrap, "is_current", lambda: False)
    assert "needed; free some space" in str(bootstrap.check_disk())


def test_the_class_archive_is_tried_once_for_an_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[list[str]] = []

    def fail(argv: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        calls.append(argv)
        return subprocess.CompletedProcess(argv, 1)

    monkeypatch.setattr(bootstrap, "ARCHIVE_STAMP", tmp_path / "stamp")
    monkeypatch.setattr(bootstrap.subprocess, "run", fail)
    bootstrap.write_class_archive()
    bootstrap.write_class_archive()
    assert [argv[1:] for argv in calls] == [["-m", "local_stack.class_archive"]]
    monkeypatch.setattr(bootstrap, "expected_stamp", lambda: "another lock")
    bootstrap.write_class_archive()
    assert len(calls) == 2
