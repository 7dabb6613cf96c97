"""How a range is cut at hours."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.ranges import HOUR, TimeRange, ceil_to, floor_to

TEN = datetime(2026, 1, 5, 10, tzinfo=UTC)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


def parts_that_hold(time_range: TimeRange, moment: datetime) -> int:
    """How many of the parts (whole hours, edge hours) count an event of this moment."""
    hour = floor_to(moment, HOUR)
    is_whole = time_range.whole_from <= hour < time_range.whole_to
    is_edge = hour in (time_range.head_hour, time_range.tail_hour) and (time_range.from_at <= moment < time_range.to_at)
    return int(is_whole) + int(is_edge)


@given(
    start=moments, length_us=st.integers(0, 4 * 3_600_000_000), offset_us=st.integers(-3_600_000_000, 5 * 3_600_000_000)
)
def test_every_moment_of_a_range_is_counted_once_and_no_other(start: datetime, length_us: int, offset_us: int) -> None:
    time_range = TimeRange(start, start + timedelta(microseconds=length_us))
    moment = start + timedelta(microseconds=offset_us)
    assert parts_that_hold(time_range, moment) == int(time_range.from_at <= moment < time_range.to_at)


@given(start=moments, hours=st.integers(1, 168), step_us=st.sampled_from([-1, 0, 1]))
def test_the_bounds_of_a_range_on_the_hour_are_exact_to_the_microsecond(
    start: datetime, hours: int, step_us: int
) -> None:
    time_range = TimeRange.ending(floor_to(start, HOUR), hours)
    for bound in (time_range.from_at, time_range.to_at):
        moment = bound + timedelta(microseconds=step_us)
        assert parts_that_hold(time_range, moment) == int(time_range.from_at <= moment < time_range.to_at)


@pytest.mark.parametrize(
    ("from_minute", "to_minute", "head", "tail", "whole_hours"),
    [
        (0, 120, None, None, 2),
        (30, 150, TEN, TEN + 2 * HOUR, 1),
        (0, 30, None, TEN, 0),
        (30, 60, TEN, None, 0),
        (10, 40, TEN, TEN, -1),
    ],
)
def test_edges_are_the_hours_that_are_cut(
    from_minute: int, to_minute: int, head: datetime | None, tail: datetime | None, whole_hours: int
) -> None:
    time_range = TimeRange(TEN + timedelta(minutes=from_minute), TEN + timedelta(minutes=to_minute))
    assert (time_range.head_hour, time_range.tail_hour) == (head, tail)
    assert (time_range.whole_to - time_range.whole_from) // HOUR == whole_hours


@given(moment=moments, minutes=st.sampled_from([5, 60, 1440]))
def test_a_window_starts_at_or_before_its_moments(moment: datetime, minutes: int) -> None:
    grain = timedelta(minutes=minutes)
    assert floor_to(moment, grain) <= moment < floor_to(moment, grain) + grain
    assert ceil_to(moment, grain) - grain < moment <= ceil_to(moment, grain)
