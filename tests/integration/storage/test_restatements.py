"""The restatement ledger: what a promotion changes in hours that were closed and published, and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.lake import open_lake
from storage.restatements import CLOSES_AFTER
from tests.fixtures.lake_writer import Event, LakeWriter

pytestmark = pytest.mark.integration
T0 = datetime(2025, 1, 5, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
CLOSED = HOUR + CLOSES_AFTER
LONG_AFTER = timedelta(days=3)


@pytest.fixture
def writer(shared_writer: LakeWriter) -> LakeWriter:
    return shared_writer


def ledger(writer: LakeWriter, day: datetime, columns: str, condition: str = "true") -> list[tuple[Any, ...]]:
    """Rows of one day: every test has its own, in a lake that all share."""
    query = f"select distinct {columns} from lake.operations.restatements where period_start::date = ? and {condition} order by all"
    with open_lake(writer.settings) as lake:
        return lake.execute(query, [day.date()]).fetchall()


@pytest.mark.feature("K10")
def test_a_late_event_in_a_closed_hour_is_a_row_per_table_and_measure_with_old_and_new(writer: LakeWriter) -> None:
    writer.publish([Event(T0), Event(T0, user_id="u2"), Event(T0 + 5 * HOUR)], published_at=T0 + LONG_AFTER)
    assert ledger(writer, T0, "*") == [], "the first publication of an hour restates nothing"
    late = writer.publish([Event(T0)], published_at=T0 + LONG_AFTER + HOUR, cause="late")
    hour = "table_name = 'gold.agg_hour_events'"
    assert ledger(writer, T0, "publication_id, cause, run_id, period, period_start, app_id", hour) == [
        (late.publication_id, "late", late.run_id, "hour", T0, "public")
    ]
    assert ledger(writer, T0, "measure, old_value, new_value, rows_added, rows_removed", hour) == [
        ("event_count", 2.0, 3.0, 1, 1),
        ("row_count", 1.0, 1.0, 1, 1),
    ]
    assert ledger(
        writer,
        T0,
        "period, period_start, old_value, new_value",
        "table_name = 'gold.agg_day_events' and measure = 'event_count'",
    ) == [("day", T0.replace(hour=0), 3.0, 4.0)]
    assert ledger(writer, T0, "period_start, old_value, new_value", "table_name = 'silver.events'") == [(T0, 2.0, 3.0)]


def test_a_running_hour_is_no_restatement_until_it_is_closed(writer: LakeWriter) -> None:
    day = T0 + 40 * timedelta(days=1)
    just_before = (day + CLOSED) - timedelta(microseconds=1)
    for moment in (day + HOUR, just_before):
        writer.publish([Event(day)], published_at=moment)
    assert ledger(writer, day, "*") == []
    writer.publish([Event(day)], published_at=(day + CLOSED))
    assert ledger(writer, day, "period", "true") == [("hour",)], "the day still runs"


def test_another_application_in_a_published_hour_is_a_change_of_its_own(writer: LakeWriter) -> None:
    day = T0 + 60 * timedelta(days=1)
    writer.publish([Event(day)], published_at=day + LONG_AFTER)
    writer.publish([Event(day, app_id="other")], published_at=day + LONG_AFTER)
    assert ledger(writer, day, "app_id, old_value, new_value", "table_name = 'silver.events'") == [("other", 0.0, 1.0)]


def test_hours_that_were_never_published_restate_nothing_beside_one_that_was(writer: LakeWriter) -> None:
    day = T0 + 80 * timedelta(days=1)
    writer.publish([Event(day)], published_at=day + LONG_AFTER)
    writer.publish([Event(day), Event(day + 2 * HOUR)], published_at=day + LONG_AFTER)
    assert ledger(writer, day, "period_start", "period = 'hour'") == [(day,)]


@pytest.mark.feature("K10")
def test_the_first_publication_of_an_hour_changes_its_closed_day(writer: LakeWriter) -> None:
    # Regression: a run that named one hour looked for published rows of its day in that hour only.
    day = (T0 + 100 * timedelta(days=1)).replace(hour=0)
    writer.publish([Event(day + 5 * HOUR)], published_at=day + LONG_AFTER)
    late = Event(day)
    writer.events.append(late)
    rows = [(offset, event) for offset, event in enumerate(writer.events) if event.hour.date() == day.date()]
    writer.promote(writer.build(rows), [day], cause="late", published_at=day + LONG_AFTER + HOUR)
    assert ledger(
        writer,
        day,
        "period, period_start, old_value, new_value, rows_added, rows_removed",
        "table_name = 'gold.agg_day_events' and measure = 'event_count'",
    ) == [("day", day, 1.0, 2.0, 1, 1)]
    assert ledger(writer, day, "*", "period = 'hour'") == []
