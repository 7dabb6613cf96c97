"""What may differ between live minutes and gold: just the cells of copies that each side may judge otherwise, and nothing else."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from storage.control.hours import TouchedHour, feed, mark_published
from storage.live.batches import Batch, apply_batch, close_before
from storage.live.hours import list_due, mark_superseded
from storage.live.minutes import split_by_source
from storage.live.state import WINDOWS_QUERY
from tests.fixtures.live_records import HOUR, click, download, expected_cells, mixed
from tests.integration.storage.parity_bench import TOPIC, Both

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)


@pytest.mark.feature("S0-12")
def test_a_copy_that_live_may_have_taken_first_excuses_its_own_cells_and_no_other(both: Both) -> None:
    # Regression: one such copy excused a difference of one in every cell of its application.
    at, later = HOUR + 3 * MINUTE, HOUR + 9 * MINUTE
    ordinary, taken = mixed(12, 200), click("twice", later, "u5")
    first = click("twice", at, "u5")
    # Gold takes what landed first, live what it read first: partitions are read side by side.
    both.write_live([*ordinary, taken])
    close_before(both.engine, WINDOWS_QUERY, HOUR + 75 * MINUTE)
    both.land([*ordinary, first])
    both.land([taken.later(received_after=timedelta(seconds=30))], partition=1)
    both.lakehouse.publish([HOUR])
    report = both.compare()
    assert (report.ok, report.tolerated_count) == (True, 4), "two minutes and two of five minutes; the hour is the same"

    with both.engine.begin() as connection:
        connection.execute(
            text("update live.minutes set event_count = event_count + 1 where breakdown = 'events' and minute = :at"),
            {"at": later},
        )
    report = both.compare()
    columns = {(item.table, item.window_start, item.column) for item in report.examples}
    assert ("live.minutes[events]", later, "event_count") in columns
    assert not report.ok
    with both.engine.begin() as connection:
        connection.execute(
            text("update live.minutes set failed_count = failed_count + 1 where minute = :at"), {"at": at}
        )
    assert {"failed_count"} <= {item.column for item in both.compare().examples if item.window_start == at}


@pytest.mark.feature("S0-12")
def test_a_copy_with_another_body_excuses_one_record_of_its_application_once(both: Both) -> None:
    at = HOUR + 3 * MINUTE
    ordinary, other = mixed(13, 100), download("twice", at, "m9", "us")
    both.write_live([*ordinary, other])
    close_before(both.engine, WINDOWS_QUERY, HOUR + 75 * MINUTE)
    both.land([*ordinary, other.later(body=download("twice", at, "m8", "eu").body)])
    both.land([other.later(received_after=timedelta(seconds=30))], partition=1)
    both.lakehouse.publish([HOUR])
    report = both.compare()
    assert report.ok, report.describe()
    assert report.tolerated_count > 0

    invented = [click(f"invented {n}", at + n * MINUTE, "u1", "tv") for n in (1, 2)]
    both.write_live([*ordinary, other, *invented], batch_id=1)
    report = both.compare()
    assert [(item.window_start, item.column) for item in report.examples if item.table == "live.minutes[events]"] == [
        (at + 2 * MINUTE, "event_count")
    ]


@pytest.mark.feature("S0-12")
def test_what_applications_write_into_their_own_fields_breaks_no_comparison(both: Both) -> None:
    # Regression: a size that is no number ended the comparison, of this hour and of all after it.
    at = HOUR + 3 * MINUTE
    own = {"content": {"size_mb": "12 MB"}, "download": {"status": "success", "speed_mbps": 1}}
    body = {"event_type": "click", "user_id": "u1", "platform": "web", **own}
    sent = [
        click("own fields", at).later(body=body),
        download("huge", at, size_mb=1e13),
        download("odd", at, content_id="a\0b"),
    ]
    cells = expected_cells([click("own fields", at), download("huge", at, size_mb=0), download("odd", at, "a\ufffdb")])
    apply_batch(both.engine, Batch(WINDOWS_QUERY, "query", 0, {TOPIC: {0: 1000}}, None), cells)
    close_before(both.engine, WINDOWS_QUERY, HOUR + 75 * MINUTE)
    both.land(sent)
    both.lakehouse.publish([HOUR])
    report = both.compare()
    assert report.ok, report.describe()
    assert (report.tolerated_count, report.cell_count > 8) == (0, True)


@pytest.mark.feature("S0-12")
def test_an_hour_that_live_missed_altogether_is_compared_and_red(both: Both) -> None:
    # Regression: without a minute an hour was never due, so that losing all of it was the only loss that nobody saw.
    both.write_live([click("before", HOUR - 10 * MINUTE)])
    close_before(both.engine, WINDOWS_QUERY, HOUR - 5 * MINUTE)
    close_before(both.engine, WINDOWS_QUERY, HOUR + 75 * MINUTE)
    both.land([click("missed", HOUR + 3 * MINUTE)])
    feed(both.engine, [TouchedHour(HOUR, 0, 0, "arrival")], after_version=None, to_version=0)
    both.lakehouse.publish([HOUR])
    mark_published(both.engine, [HOUR], 0, "run")
    assert mark_superseded(both.engine, HOUR + 80 * MINUTE) == 1
    assert [stretch.source for stretch in split_by_source(both.engine, HOUR, HOUR + 60 * MINUTE)] == ["gold"]
    [due] = list_due(both.engine, 0, lambda _: {TOPIC: {0: 999}}, WINDOWS_QUERY)
    assert due.hour == HOUR
    report = both.compare()
    assert ("live.minutes[events]", "event_count", "0", "1") in {
        (item.table, item.column, item.live, item.gold) for item in report.examples
    }
