"""Planning of replays: pure, so tested without Dagster."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.replay import ReplayRangeError, cut_days, make_range, next_windows, plan_days
from storage.control.replays import MAX_ATTEMPTS, Replay, ReplayDay, ReplayRange

T0 = datetime(2026, 1, 5, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = T0 + 30 * DAY + timedelta(minutes=20)
FIRST_DAY = date(2015, 1, 1)


def range_of(start: str, end: str) -> ReplayRange:
    return make_range(start, end, now=NOW, first_day=FIRST_DAY)


def open_day(day: datetime, rows: int = 10, **changes: object) -> ReplayDay:
    made = ReplayDay(1, day.date(), (day, day + HOUR), rows, 0, None, None, None, None, None)
    return replace(made, **changes)


def replay(*days: ReplayDay, replay_id: int = 1) -> Replay:
    return Replay(replay_id, ReplayRange(T0, T0 + DAY), NOW, None, None, days)


def test_a_date_is_its_midnight_and_the_end_is_not_part_of_the_range() -> None:
    assert range_of("2026-01-05", "2026-01-06") == ReplayRange(T0, T0 + DAY)
    assert range_of("2026-01-05T11:00:00+01:00", "2026-01-05T12:00:00Z") == ReplayRange(T0 + 10 * HOUR, T0 + 12 * HOUR)


def test_nothing_after_the_running_hour_is_replayed() -> None:
    assert range_of("2026-02-03", "2027-01-01").end_hour == NOW.replace(minute=0) + HOUR


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("2026-01-06", "2026-01-06", "the end is not part of the range"),
        ("2026-01-06", "2026-01-05", "the end is not part of the range"),
        ("2030-01-01", "2030-01-02", "no hour that has begun"),
        ("2014-12-31", "2015-01-02", "before the first day"),
        ("yesterday", "2026-01-05", "neither a date nor a whole UTC hour"),
        ("2026-01-05T10:30:00Z", "2026-01-06", "neither a date nor a whole UTC hour"),
    ],
)
def test_a_range_that_cannot_be_replayed_says_why(start: str, end: str, said: str) -> None:
    with pytest.raises(ReplayRangeError, match=said):
        range_of(start, end)


def test_days_are_planned_from_records_and_from_what_was_published() -> None:
    wanted = ReplayRange(T0, T0 + 2 * DAY)
    counts = {T0 + HOUR: 3, T0 + 2 * HOUR: 4, T0 + 5 * DAY: 9}
    planned = plan_days(wanted, counts, known=[T0 + 30 * HOUR, T0 + HOUR])
    assert [(item.day, item.hours, item.row_count) for item in planned] == [
        (date(2026, 1, 5), (T0 + HOUR, T0 + 2 * HOUR), 7),
        (date(2026, 1, 6), (T0 + 30 * HOUR,), 0),
    ]


def test_runs_hold_neighbouring_days_up_to_the_limit_and_the_oldest_replay_comes_first() -> None:
    newer = replay(open_day(T0), replay_id=7)
    older = replay(*(open_day(T0 + index * DAY, rows=40) for index in range(5)), open_day(T0 + 200 * DAY), replay_id=3)
    windows = next_windows([newer, older], now=NOW, max_rows=100, max_runs=9)
    assert [(item.replay_id, len(item.window.days)) for item in windows] == [(3, 2), (3, 2), (3, 1), (3, 1), (7, 1)]
    assert len(next_windows([newer, older], now=NOW, max_rows=100, max_runs=2)) == 2


def test_a_day_waits_for_its_next_attempt_and_is_given_up_after_the_last() -> None:
    days = [
        open_day(T0, finished_at=NOW),
        open_day(T0 + DAY, next_attempt_at=NOW + HOUR),
        open_day(T0 + 2 * DAY, attempts=MAX_ATTEMPTS),
        open_day(T0 + 3 * DAY, attempts=MAX_ATTEMPTS - 1, next_attempt_at=NOW),
    ]
    windows = next_windows([replay(*days)], now=NOW, max_rows=100, max_runs=9)
    assert [item.window.days for item in windows] == [((T0 + 3 * DAY).date(),)]


@given(st.lists(st.integers(0, 400), min_size=1, unique=True), st.integers(1, 60))
def test_every_open_day_is_in_one_run(offsets: list[int], max_rows: int) -> None:
    days = [open_day(T0 + offset * DAY) for offset in sorted(offsets)]
    windows = next_windows([replay(*days)], now=NOW, max_rows=max_rows, max_runs=1000)
    assert [hour for item in windows for hour in item.window.hours] == [hour for day in days for hour in day.hours]


@given(st.dictionaries(st.integers(0, 24 * 9), st.integers(0, 40), min_size=1), st.integers(1, 60))
def test_a_day_with_many_records_is_planned_and_run_in_parts(rows: dict[int, int], max_rows: int) -> None:
    counts = {T0 + offset * HOUR: count for offset, count in rows.items()}
    parts = plan_days(ReplayRange(T0, T0 + 10 * DAY), counts, (), max_rows=max_rows)
    assert [hour for part in parts for hour in part.hours] == sorted(counts)
    assert all(part.row_count == sum(counts[hour] for hour in part.hours) for part in parts)
    assert all(part.row_count <= max_rows or len(part.hours) == 1 for part in parts)
    assert all({hour.date() for hour in part.hours} == {part.day} for part in parts)
    days = Counter(part.day for part in parts)
    for day, count in days.items():
        assert (count > 1) <= (sum(part.row_count for part in parts if part.day == day) > max_rows)
    windows = cut_days(parts, max_rows)
    assert [hour for window in windows for hour in window.hours] == sorted(counts)
    runs = {hour: index for index, window in enumerate(windows) for hour in window.hours}
    assert all(len({runs[hour] for hour in part.hours}) == 1 for part in parts), "a part is in one run"
    assert all(sum(counts[hour] for hour in window.hours) <= max_rows or len(window.hours) == 1 for window in windows)
