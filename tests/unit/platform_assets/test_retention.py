"""Which publications expire."""

from datetime import UTC, datetime, timedelta

from platform_assets.retention import choose_kept
from storage.publications import Publication

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR_8 = datetime(2026, 1, 5, 8, tzinfo=UTC)
HOUR_9 = datetime(2026, 1, 5, 9, tzinfo=UTC)
RECENT = timedelta(minutes=10)


def publication(number: int, cause: str, *hours: datetime, age_minutes: int = 60) -> Publication:
    at = NOW - timedelta(minutes=age_minutes)
    return Publication(number, number, cause, hours, "run", number - 1, 1, {}, "code", at, {})


def test_interim_publications_of_an_hour_expire_when_a_newer_one_covers_it() -> None:
    items = [
        publication(1, "arrival", HOUR_8),
        publication(2, "arrival", HOUR_8, HOUR_9),
        publication(3, "arrival", HOUR_9),
    ]
    assert choose_kept(items, (), NOW, RECENT) == {2, 3}


def test_a_restatement_is_kept_though_a_newer_one_covers_its_hour() -> None:
    items = [publication(1, "late", HOUR_8), publication(2, "late", HOUR_8), publication(3, "arrival", HOUR_8)]
    assert choose_kept(items, (), NOW, RECENT) == {1, 2, 3}


def test_an_arrival_that_restated_a_closed_hour_is_kept_though_a_newer_one_covers_its_hours() -> None:
    # Regression: the ledger named a publication that could not be read any more.
    items = [
        publication(1, "arrival", HOUR_8),
        publication(2, "arrival", HOUR_8, HOUR_9),
        publication(3, "arrival", HOUR_8, HOUR_9),
    ]
    assert choose_kept(items, {2}, NOW, RECENT) == {2, 3}


def test_a_young_publication_is_kept_for_its_readers() -> None:
    items = [publication(1, "arrival", HOUR_9, age_minutes=5), publication(2, "arrival", HOUR_9, age_minutes=1)]
    assert choose_kept(items, (), NOW, RECENT) == {1, 2}
