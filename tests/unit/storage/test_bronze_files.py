"""Which closed dates of bronze are worth rewriting."""

from datetime import UTC, date, datetime, timedelta

import pytest

from storage.bronze_files import DateFiles, choose_dates, first_open_date

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
TARGET = 1000
DAY = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("file_count", "size_bytes", "ideal", "is_worth"),
    [
        (1, 10, 1, False),
        (2, 10, 1, False),
        (3, 10, 1, True),
        (3, 1001, 2, False),
        (4, 1001, 2, False),
        (5, 1001, 2, True),
        (1, 0, 1, False),
    ],
)
def test_a_date_is_worth_it_above_twice_its_ideal(file_count: int, size_bytes: int, ideal: int, is_worth: bool) -> None:
    files = DateFiles(DAY, file_count, size_bytes)
    assert files.ideal_count(TARGET) == ideal
    assert files.is_worth_rewriting(TARGET) == is_worth


def test_the_dates_with_most_to_spare_come_first_and_open_ones_never() -> None:
    files = [DateFiles(DAY + timedelta(days=n), count, 10) for n, count in enumerate((5, 9, 9, 2, 99))]
    chosen = choose_dates(files, now=NOW, target_bytes=TARGET, limit=2)
    assert [item.event_date for item in chosen] == [DAY + timedelta(days=1), DAY + timedelta(days=2)]
    everything = choose_dates(files, now=NOW, target_bytes=TARGET, limit=10)
    assert [item.file_count for item in everything] == [9, 9, 5]


@pytest.mark.parametrize(("hours", "first"), [(0, date(2026, 3, 4)), (1.99, date(2026, 3, 4)), (2, date(2026, 3, 5))])
def test_a_date_is_closed_two_hours_after_its_end(hours: float, first: date) -> None:
    assert first_open_date(datetime(2026, 3, 5, tzinfo=UTC) + timedelta(hours=hours)) == first
