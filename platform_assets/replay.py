"""Pure planning of replays: what a range means, which days it has, and which runs come next. Values in, values out; no I/O, no Dagster.

The request and its progress are rows (`storage.control.replays`); the replay sensor asks for the runs planned here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby

from platform_assets.windows import HOUR, Window, cut_by_rows, gather, near_day_ranges, parse_hours
from storage.control.replays import MAX_ATTEMPTS, PlannedDay, Replay, ReplayDay, ReplayRange


class ReplayRangeError(ValueError):
    """The range cannot be replayed; the message says what is expected."""


@dataclass(frozen=True)
class ReplayWindow:
    """One run of a replay."""

    replay_id: int
    window: Window


def make_range(
    start: str, end: str, *, app_id: str = "", event_type: str = "", now: datetime, first_day: date
) -> ReplayRange:
    """The hours from `start` to before `end`, each a date or a whole UTC hour; an end after the running hour is the end of that one.

    Raises:
        ReplayRangeError: unreadable, empty, or before the first day.
    """
    first, last = (_parse_moment(text) for text in (start, end))
    last = min(last, now.replace(minute=0, second=0, microsecond=0) + HOUR)
    if first >= last:
        raise ReplayRangeError(
            f"From {start} to {end} there is no hour that has begun: the end is not part of the range, so one day is "
            f"--from 2026-01-05 --to 2026-01-06."
        )
    if first.date() < first_day:
        raise ReplayRangeError(f"{start} is before the first day {first_day} (TIDEMARK_STORAGE_FIRST_DAY).")
    return ReplayRange(first, last, app_id, event_type)


def _parse_moment(text: str) -> datetime:
    try:
        if len(text) == len("2026-01-05"):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        return parse_hours([text])[0]
    except ValueError as error:
        raise ReplayRangeError(
            f"{text!r} is neither a date nor a whole UTC hour (2026-01-05T10:00:00Z): {error}"
        ) from None


def plan_days(
    wanted: ReplayRange,
    rows_by_hour: Mapping[datetime, int],
    known: Iterable[datetime],
    *,
    max_rows: int | None = None,
) -> list[PlannedDay]:
    """What to rebuild, ascending: by day, the hours of the range with records in bronze, or known to have been published.

    A day with more than `max_rows` records comes in parts that hold no more, or one hour.
    """
    hours = [hour for hour in sorted({*rows_by_hour, *known}) if wanted.first_hour <= hour < wanted.end_hour]
    planned = []
    for _, group in groupby(hours, key=datetime.date):
        day_hours = list(group)
        parts = [Window(tuple(day_hours))] if max_rows is None else cut_by_rows(day_hours, rows_by_hour, max_rows)
        for part in parts:
            row_count = sum(rows_by_hour.get(hour, 0) for hour in part.hours)
            planned.append(PlannedDay(part.start.date(), part.hours, row_count))
    return planned


def cut_days(days: Sequence[PlannedDay] | Sequence[ReplayDay], max_rows: int) -> list[Window]:
    """Windows of near days (or parts) with at most `max_rows` records, except that each holds at least one. Few: a run costs seconds."""
    by_first = {day.hours[0]: (day.hours, day.row_count) for day in days}
    groups = near_day_ranges(list(by_first))
    return [window for group in groups for window in gather((by_first[hour] for hour in group.hours), max_rows)]


def next_windows(active: Iterable[Replay], *, now: datetime, max_rows: int, max_runs: int) -> list[ReplayWindow]:
    """The runs to ask for: days (or parts) that are due, those of the oldest replay first. What two replays ask for is built for each."""
    windows: list[ReplayWindow] = []
    for replay in sorted(active, key=lambda item: item.replay_id):
        due = [day for day in replay.open_days if _is_due(day, now)]
        windows += [ReplayWindow(replay.replay_id, window) for window in cut_days(due, max_rows)]
    return windows[:max_runs]


def _is_due(day: ReplayDay, now: datetime) -> bool:
    return day.attempts < MAX_ATTEMPTS and (day.next_attempt_at is None or day.next_attempt_at <= now)
