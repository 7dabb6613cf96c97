"""The demo's arithmetic: what the platform publishes equals what the generator knows it sent, and only touched hours were built."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Stack, parse_time

EVENTS = 20_000
COUNTED = ("accepted", "dead_letters", "landed", "silver", "duplicates", "quarantined", "late", "published")


def published_cells(stack: Stack, until: datetime) -> dict[tuple[datetime, str, str], tuple[int, int]]:
    """(events, distinct users) by hour, type and platform of the week before `until`; one request per type stays under the limit."""
    cells: dict[tuple[datetime, str, str], tuple[int, int]] = {}
    for event_type in ("click", "like", "comment", "share", "view"):
        answer = stack.get(
            "/api/v1/analytics/events",
            time_window="1hr",
            hours_back=168,
            until=until.isoformat(),
            event_type=event_type,
            limit=1000,
        )
        assert answer["total_records"] < 1000
        for cell in answer["metrics"]:
            key = (parse_time(cell["window_start"]), cell["event_type"], cell["platform"])
            cells[key] = (cell["event_count"], cell["unique_users"])
    return cells


def hours_between(start: datetime, end: datetime) -> set[datetime]:
    """The UTC hours from start to end."""
    first = start.replace(minute=0, second=0, microsecond=0)
    return {first + timedelta(hours=number) for number in range(int((end - first) / timedelta(hours=1)) + 1)}


@pytest.mark.feature("S0-1", "S0-2", "S0-8", "S0-13", "K3", "K6", "K10")
def test_totals_equal_the_generators_ground_truth(running_stack: Stack, tmp_path: Path) -> None:
    stack, truth_file = running_stack, tmp_path / "truth.json"
    stack.settle()
    before = stack.verify()["counts"]
    newest = stack.get("/api/v1/publications", limit=1)["newest"] or 0
    started = datetime.now(UTC)
    shares = ["--duplicates", "0.03", "--malformed", "0.02", "--late", "0.05"]
    report = stack.run(
        "send", "--events", str(EVENTS), "--rate", "0", "--seed", "7", *shares, "--truth", str(truth_file)
    )
    ended = datetime.now(UTC)
    truth: dict[str, Any] = json.loads(truth_file.read_text())
    assert (report["accepted"], report["rejected"]) == (truth["accepted"], truth["rejected"])
    stack.settle()

    counts = stack.verify()["counts"]
    assert {name: counts[name] - before[name] for name in COUNTED} == {
        "accepted": truth["accepted"],
        "dead_letters": truth["rejected"],
        "landed": EVENTS,
        "silver": truth["unique_events"],
        "duplicates": truth["duplicates"],
        "quarantined": truth["rejected"],
        "late": truth["late"],
        "published": truth["unique_events"],
    }
    assert counts["waiting_to_land"] == counts["waiting_to_publish"] == 0

    anchor_end = parse_time(truth["anchor"]) + timedelta(hours=1)
    assert published_cells(stack, anchor_end) == {
        (parse_time(cell["hour"]), cell["event_type"], cell["platform"]): (cell["event_count"], cell["unique_users"])
        for cell in truth["cells"]
    }
    top = stack.get("/api/v1/analytics/top-users", hours_back=168, until=anchor_end.isoformat(), limit=100)["top_users"]
    ranked = sorted(Counter(truth["by_user"]).items(), key=lambda item: (-item[1], item[0]))[:100]
    assert [(row["user_id"], row["total_events"]) for row in top] == ranked

    built = {parse_time(text) for entry in stack.publications_after(newest) for text in entry["hours"]}
    sent = {parse_time(hour) for hour in truth["by_hour"]}
    assert sent <= built
    assert built <= sent | hours_between(started, ended)  # rejected lines lie in the hour in which they were received
