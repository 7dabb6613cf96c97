"""Planning of windows: pure, so tested without Dagster."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.windows import Window, apart, cut_by_rows, hours_of_days, is_current, near_day_ranges, parse_hours

T0 = datetime(2026, 1, 5, tzinfo=UTC)
hours_strategy = st.lists(st.integers(0, 24 * 40), min_size=1, unique=True).map(
    lambda offsets: tuple(sorted(T0 + timedelta(hours=offset) for offset in offsets))
)


def test_a_day_has_its_24_hours() -> None:
    hours = hours_of_days(date(2026, 1, 5), date(2026, 1, 6))
    assert (len(hours), hours[0], hours[-1]) == (48, T0, datetime(2026, 1, 6, 23, tzinfo=UTC))


def test_hours_are_read_as_utc_whatever_their_zone() -> None:
    assert parse_hours(["2026-01-05T11:00:00+01:00", "2026-01-05T10:00:00Z", "2026-01-05T09:00:00"]) == (
        T0 + timedelta(hours=9),
        T0 + timedelta(hours=10),
    )


def test_a_moment_within_an_hour_is_refused() -> None:
    with pytest.raises(ValueError, match="whole hour"):
        parse_hours(["2026-01-05T10:30:00Z"])


def test_hours_that_failed_again_and_again_are_built_by_themselves() -> None:
    # Regression: hours that once failed together came due together, and one that broke a check kept all others back for good.
    nine, ten, eleven = (T0 + timedelta(hours=hour) for hour in (9, 10, 11))
    assert apart({ten: 0, nine: 1}) == ([nine, ten], [])
    assert apart({eleven: 2, ten: 0, nine: 7}) == ([ten], [Window((nine,)), Window((eleven,))])
    assert apart({}) == ([], [])


@given(hours_strategy, st.integers(1, 30), st.integers(1, 10))
def test_cutting_keeps_every_hour_once_and_splits_only_days_that_hold_too_much(
    hours: tuple[datetime, ...], max_rows: int, hour_rows: int
) -> None:
    rows = dict.fromkeys(hours, hour_rows)
    windows = cut_by_rows(hours, rows, max_rows)
    assert tuple(hour for window in windows for hour in window.hours) == hours
    assert all(len(window.hours) * hour_rows <= max_rows or len(window.hours) == 1 for window in windows)
    places = Counter(day for window in windows for day in window.days)
    by_day = Counter(hour.date() for hour in hours)
    assert all(places[day] == 1 for day, count in by_day.items() if count * hour_rows <= max_rows)


def test_a_day_that_holds_too_much_is_cut_at_its_hours_and_an_hour_never() -> None:
    hours = hours_of_days(date(2026, 1, 5), date(2026, 1, 6))[:30]
    rows = dict.fromkeys(hours[:24], 40) | {hours[5]: 500} | dict.fromkeys(hours[24:], 1)
    windows = [[hour.hour for hour in window.hours] for window in cut_by_rows(hours, rows, 100)]
    pairs = [[hour, hour + 1] for hour in range(6, 22, 2)]
    assert windows == [[0, 1], [2, 3], [4], [5], *pairs, [22, 23, 0, 1, 2, 3, 4, 5]]


def test_a_window_holds_no_more_hours_than_a_build_can_be_told_of() -> None:
    hours = hours_of_days(date(2025, 1, 1), date(2025, 12, 31))
    windows = cut_by_rows(hours, {}, 100)
    assert [len(window.hours) for window in windows] == [3984, 3984, 792], "whole days, up to 4,000 hours"


@given(hours_strategy, st.integers(1, 5))
def test_ranges_keep_every_hour_and_split_only_at_wide_gaps(hours: tuple[datetime, ...], max_gap_days: int) -> None:
    max_gap = timedelta(days=max_gap_days)
    windows = near_day_ranges(hours, max_gap)
    assert tuple(hour for window in windows for hour in window.hours) == hours
    for window in windows:
        assert all(later - earlier <= max_gap for earlier, later in pairwise(window.days))
    for earlier, later in pairwise(windows):
        assert later.days[0] - earlier.days[-1] > max_gap


@pytest.mark.parametrize(("age_hours", "expected"), [(0, True), (1, True), (2, False), (-1, True)])
def test_the_arrivals_lane_is_this_hour_and_the_last(age_hours: int, expected: bool) -> None:
    now = T0 + timedelta(hours=10, minutes=59)
    assert is_current(T0 + timedelta(hours=10 - age_hours), now) is expected
