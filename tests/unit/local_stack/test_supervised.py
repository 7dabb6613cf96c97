"""Backoff, the end of logs, and other pure parts of supervision."""

from pathlib import Path

import pytest

from local_stack.java import parse_major_version
from local_stack.log_files import bound, last_line, tail
from local_stack.marks import mark
from local_stack.supervised import LONGEST_BACKOFF_SECONDS, backoff_seconds


def test_backoff_doubles_up_to_its_bound() -> None:
    assert [backoff_seconds(crashes) for crashes in (1, 2, 3, 4)] == [0.5, 1, 2, 4]
    assert backoff_seconds(1000) == LONGEST_BACKOFF_SECONDS


def test_a_mark_is_a_prefix_of_its_parts_only() -> None:
    assert mark("home", "run", "api").startswith(mark("home", "run"))
    assert not mark("home", "run", "api2").startswith(mark("home", "run", "api"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('openjdk version "17.0.15" 2025', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21"', 21),
        ("no", None),
    ],
)
def test_java_versions(text: str, expected: int | None) -> None:
    assert parse_major_version(text) == expected


def test_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert tail(log, 3) == []
    assert last_line(log) == "(no output)"
    log.write_text("".join(f"line {number}\n" for number in range(9)) + "\n")
    assert tail(log, 2) == ["line 8", ""]
    assert last_line(log) == "line 8"


def test_a_log_that_grew_too_large_is_cut_and_kept_once(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"a" * 100)
        bound(log, largest_bytes=99)
        writer.write(b"b")
        bound(log, largest_bytes=99)
    assert log.read_bytes() == b"b"
    assert (tmp_path / "x.log.1").read_bytes() == b"a" * 100
