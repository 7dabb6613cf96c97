"""Times are read liberally and written in one way."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.contracts.clocks import TimestampError, UtcFormatter, format_utc, parse_timestamp


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2015-01-01T00:00:00Z", "2015-01-01T00:00:00.000000Z"),
        ("2015-01-01T00:00:00", "2015-01-01T00:00:00.000000Z"),
        ("2015-01-01 00:00:00.5", "2015-01-01T00:00:00.500000Z"),
        ("2015-01-01t00:00:00z", "2015-01-01T00:00:00.000000Z"),
        ("2015-01-01T05:30:00+05:30", "2015-01-01T00:00:00.000000Z"),
        ("2015-01-01T00:00:00.123456Z", "2015-01-01T00:00:00.123456Z"),
        ("2015-01-01T00:00:00.123456789Z", "2015-01-01T00:00:00.123456Z"),
        (1420070400, "2015-01-01T00:00:00.000000Z"),
        (1420070400.25, "2015-01-01T00:00:00.250000Z"),
        (1420070400123, "2015-01-01T00:00:00.123000Z"),
    ],
)
def test_a_time_is_read(value: str | float, expected: str) -> None:
    assert parse_timestamp(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "", "now", "2015-01-01", "20150101T000000Z", "2015-W01-1T00:00:00Z", "2015-02-30T00:00:00Z", "2015-01-01T25:00:00Z",
        "2015-01-01T00:00Z", "1420070400", "٢٠١٥-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", 10**18, -(10**18), 1e300,
    ],
)  # fmt: skip
def test_anything_else_is_refused(value: str | float) -> None:
    with pytest.raises(TimestampError):
        parse_timestamp(value)


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_text_order_is_time_order_and_the_zone_does_not_matter(moment: datetime, offset_minutes: int) -> None:
    aware = moment.replace(tzinfo=UTC)
    shifted = (aware + timedelta(minutes=offset_minutes)).replace(tzinfo=None).isoformat()
    sign, minutes = "-" if offset_minutes < 0 else "+", abs(offset_minutes)
    assert parse_timestamp(f"{shifted}{sign}{minutes // 60:02d}:{minutes % 60:02d}") == format_utc(aware)
    assert format_utc(aware) < format_utc(aware + timedelta(microseconds=1))


ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])


@given(st.lists(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=ZONES)))
def test_a_formatter_writes_what_format_utc_writes(moments: list[datetime]) -> None:
    formatter = UtcFormatter()
    for moment in moments:
        for near in (moment, moment.replace(microsecond=0), moment.replace(microsecond=999_999), moment):
            assert formatter.format(near) == format_utc(near)
