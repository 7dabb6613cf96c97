"""`tidemark send` and `tidemark seed`, as far as nothing is sent: options, exit codes, files."""

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import build_app

ANCHOR = ("--anchor", "2026-11-21T09:30:00Z")
RUN = CliRunner()


def run(*arguments: str) -> tuple[int, str, str]:
    result = RUN.invoke(build_app(), arguments)
    return result.exit_code, result.stdout, result.stderr


def report_of(*arguments: str) -> dict[str, object]:
    code, stdout, stderr = run(*arguments, "--json")
    assert code == 0, stderr
    found: dict[str, object] = json.loads(stdout)
    return found


@pytest.mark.parametrize("family", ["engagement", "product", "generic", "social", "download", "all"])
def test_out_writes_the_same_lines_for_the_same_seed_and_anchor(family: str, tmp_path: Path) -> None:
    arguments = ("send", "--family", family, "--events", "60", *ANCHOR)
    out, truth = tmp_path / "new" / "lines.ndjson", tmp_path / "truth.json"
    first = report_of(*arguments, "--out", str(out), "--truth", str(truth))
    content = out.read_bytes()
    assert (first["lines"], first["sha256"]) == (60, hashlib.sha256(content).hexdigest())
    assert content.count(b"\n") == 60
    assert json.loads(truth.read_text())["accepted"] == 60
    again = report_of(*arguments, "--dry-run")
    assert (again["sha256"], again["out"]) == (first["sha256"], None)


def test_the_command_line_of_the_reference_still_means_the_same() -> None:
    plain = report_of(
        "send", "--events", "1000", "--rate", "100", "--batch-size", "100", "--single", "--dry-run", *ANCHOR
    )
    explicit = report_of("send", "--family", "engagement", "--seed", "42", "--dry-run", *ANCHOR)
    assert plain["sha256"] == explicit["sha256"]
    assert plain["lines"] == 1000


def test_stdout_takes_lines_alone() -> None:
    code, stdout, _ = run("send", "--family", "generic", "--events", "3", "--out", "-", *ANCHOR)
    assert code == 0
    assert [sorted(json.loads(line)) for line in stdout.splitlines()] == [
        ["event_id", "event_type", "payload", "timestamp", "user_id"]
    ] * 3


@pytest.mark.feature("S3-2")
def test_seed_is_the_whole_social_graph() -> None:
    arguments = ("--users", "20", "--posts", "50", "--hashtags", "30", "--as-of", ANCHOR[1], "--dry-run")
    seeded = report_of("seed", *arguments)
    assert seeded == report_of("seed", *arguments)
    sent = report_of("send", "--family", "social", *arguments)
    assert (seeded["sha256"], seeded["lines"]) == (sent["sha256"], sent["lines"])


def test_downloads_come_by_the_minute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def span(*arguments: str) -> float:
        out = tmp_path / "lines"
        report_of("send", "--family", "download", "--events", "30", "--out", str(out), *ANCHOR, *arguments)
        times = [json.loads(line)["timestamp"] for line in out.read_text().splitlines()]
        return (times[-1] - times[0]) / 1000

    assert span() == pytest.approx(29 * 60 / 7, abs=2)
    assert span("--per-minute", "60") == pytest.approx(29, abs=2)
    monkeypatch.setenv("EVENTS_PER_MINUTE", "30000")
    assert span() < 2.1


def test_a_scenario_gives_incidents_and_experiments(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(
        '[[incidents]]\ntype = "slow_cdn"\nregion = "*"\nfrom_seconds = 0\nto_seconds = 9\nstrength = 0.25\n'
        '[[experiments]]\nexperiment_id = "three"\nvariants = ["a", "b", "c"]\nrates = [0.1, 0.2, 0.3]\n'
    )
    common = ("--scenario", str(scenario), "--dry-run", *ANCHOR)
    downloads = report_of("send", "--family", "download", "--events", "50", *common)["truth"]
    assert downloads["story"]["incidents"][0]["factor"] == 0.25  # type: ignore[index]  # JSON
    events = report_of("send", "--family", "product", "--users", "50", *common)["truth"]
    variants = events["story"]["experiments"][0]["variants"]  # type: ignore[index]  # JSON
    assert [variant["variant"] for variant in variants] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nope",),
        ("--family", "weather"),
        ("--users", "5"),
        ("--family", "product", "--incident", "slow_cdn:*:0:1"),
        ("--family", "product", "--control-rate", "1.5"),
        ("--family", "product", "--history-days", "3"),
        ("--family", "download", "--incident", "fire"),
        ("--family", "social", "--late", "0.1"),
        ("--family", "social", "--rate", "5"),
        ("--duplicates", "0.6", "--late", "0.6"),
        ("--anchor", "yesterday"),
        ("--json", "--out", "-"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2(arguments: tuple[str, ...]) -> None:
    code, stdout, _ = run("send", *arguments, "--dry-run")
    assert (code, stdout) == (2, "")
