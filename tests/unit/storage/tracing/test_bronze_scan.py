"""What a trace may leave out, and how it cuts bronze into steps."""

from datetime import UTC, date, datetime, timedelta

import pytest

from ingestion.sinks.records import new_event_ids
from storage.tracing import bronze_scan
from storage.tracing.bronze_scan import CLOCK_TOLERANCE, Days, _steps, made_after


def test_an_id_of_the_server_says_when_it_was_made_and_others_say_nothing() -> None:
    moment = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    assert made_after(new_event_ids(1, moment)[0]) == moment - CLOCK_TOLERANCE
    for other in ("order-5", "5e6bf1a0-0000-4000-8000-000000000000", "", "ffffffff-ffff-7fff-bfff-ffffffffffff"):
        assert made_after(other) is None


def test_days_are_taken_together_newest_first_and_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bronze_scan, "ROWS_PER_STEP", 10)
    first = date(2026, 1, 1)
    rows = {first + timedelta(days=number): count for number, count in enumerate((3, 4, 25, 5, 5, 1))}
    steps = list(_steps(rows))
    assert [rows for _, _, rows in steps] == [6, 5, 25, 7]
    assert steps[0][:2] == (first + timedelta(days=4), first + timedelta(days=5))
    assert list(_steps({})) == []


def test_a_range_of_days_may_be_open() -> None:
    day = date(2026, 1, 2)
    assert Days().holds(day)
    assert Days(day, day).holds(day)
    assert not Days(day + timedelta(days=1)).holds(day)
    assert not Days(None, day - timedelta(days=1)).holds(day)
