"""What `tidemark replay` says of days that come in parts."""

import io
from datetime import UTC, datetime, timedelta

from rich.console import Console

from cli.replay import as_dict, print_days, report
from storage.control.replays import PlannedDay, Replay, ReplayDay, ReplayRange

T0 = datetime(2026, 1, 5, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def part(first: datetime, count: int, finished_at: datetime | None = None, blocked_by: str | None = None) -> ReplayDay:
    hours = tuple(first + index * HOUR for index in range(count))
    return ReplayDay(1, first.date(), hours, 500, 1, None, blocked_by, finished_at, None, "run")


def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def said(where: Console) -> list[str]:
    assert isinstance(where.file, io.StringIO)
    return where.file.getvalue().splitlines()


def test_a_plan_names_each_day_once() -> None:
    days = [PlannedDay(T0.date(), (T0,), 900), PlannedDay(T0.date(), (T0 + HOUR,), 1200)]
    where = console()
    print_days(where, [*days, PlannedDay((T0 + DAY).date(), (T0 + DAY,), 7)], runs=3)
    assert said(where) == [
        "2 days, 3 hours, 2,107 records in bronze, 3 runs:",
        "  2026-01-05   2 hours         2,100 records in 2 parts",
        "  2026-01-06   1 hours             7 records",
    ]


def test_a_day_is_rebuilt_when_all_its_parts_are() -> None:
    parts = (part(T0, 2, T0), part(T0 + 2 * HOUR, 3, blocked_by="check x"), part(T0 + DAY, 24, T0))
    found = Replay(1, ReplayRange(T0, T0 + 2 * DAY), T0, None, None, parts)
    where = console()
    report(where, found, as_json=False)
    assert said(where) == [
        "Replay 1 is running: 1 of 2 days rebuilt (2 of 3 parts), all equal to what was published.",
        "  2026-01-05 02:00 to 04:00 was stopped by check x (1 attempts, run run)",
    ]
    told = [(day["day"], day["first_hour"], day["hours"], day["is_finished"]) for day in as_dict(found)["days"]]
    assert told == [
        ("2026-01-05", "2026-01-05T00:00:00+00:00", 2, True),
        ("2026-01-05", "2026-01-05T02:00:00+00:00", 3, False),
        ("2026-01-06", "2026-01-06T00:00:00+00:00", 24, True),
    ]
