"""Silver's product events as an analyst reads them: a real build, published to a real lake, through the view."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from storage.lake import create_missing_tables, open_lake
from storage.publications import Publication
from storage.settings import StorageSettings
from tests.fixtures.lakehouse import Lakehouse, open_lakehouse
from tests.integration.verification.rows import HOUR, product
from tests.integration.verification.world import StampedRow, World

pytestmark = [pytest.mark.integration, pytest.mark.feature("S1-7")]
NEXT_DAY = 24 * 60


@pytest.fixture
def lakehouse(storage_settings: StorageSettings) -> Iterator[Lakehouse]:
    opened = open_lakehouse(storage_settings)
    yield opened
    opened.engine.dispose()


def publish(lakehouse: Lakehouse, world: World, *rows: StampedRow) -> Publication:
    world.land(*rows)
    found = lakehouse.publish([row.event_hour for row in rows]).publication
    assert found is not None
    return found


def read(lakehouse: Lakehouse, query: str, publication: Publication | None = None) -> list[tuple[Any, ...]]:
    with open_lake(lakehouse.settings, snapshot_id=publication.snapshot_id if publication else None) as lake:
        return lake.execute(query).fetchall()


def test_product_events_have_utc_times_and_their_experiment(lakehouse: Lakehouse) -> None:
    world = World(lakehouse.settings, lakehouse.engine)
    milliseconds = int(HOUR.timestamp() * 1000) + 123
    older = {"event_ts": None, "event_time": milliseconds}
    # An exact moment that no float holds: microseconds are those of the stamp.
    moment = datetime(2026, 2, 1, 10, 59, 59, 123_457, tzinfo=UTC)
    publish(
        lakehouse,
        world,
        product(0),
        product(1, body=older, occurred_at=HOUR + timedelta(milliseconds=123)),
        product(
            2, event_type="page_view", user="u2", body={"experiment_id": None, "variant": None}, occurred_at=moment
        ),
        product(3, event_type="conversion", minutes=30),
        product(4, event_type="conversion", minutes=30, user="never exposed"),
    )
    rows = read(
        lakehouse,
        "select event_id, event_type, occurred_at, event_date, is_experiment_event, experiment_id, variant, first_exposure_at "
        "from lake.silver.product_events order by event_id",
    )
    day, first = date(2026, 2, 1), HOUR + timedelta(milliseconds=123)
    assert rows == [
        ("p0", "feature_exposed", HOUR + timedelta(minutes=10), day, True, "checkout", "A", first),
        ("p1", "feature_exposed", first, day, True, "checkout", "A", first),
        ("p2", "page_view", moment, day, False, None, None, None),
        ("p3", "conversion", HOUR + timedelta(minutes=30), day, True, "checkout", "A", first),
        ("p4", "conversion", HOUR + timedelta(minutes=30), day, True, "checkout", "A", None),
    ]


def test_types_that_are_not_of_the_contract_are_quarantined_with_the_reason(lakehouse: Lakehouse) -> None:
    world = World(lakehouse.settings, lakehouse.engine)
    publish(
        lakehouse,
        world,
        product(0),
        product(1, event_type="purchase"),
        product(2, body={"experiment_id": 7}),
        product(3, body={"variant": None}),
    )
    assert read(lakehouse, "select event_id from lake.silver.product_events") == [("p0",)]
    assert read(
        lakehouse,
        "select kafka_offset, reason, decode(raw_value)[2:10] from lake.silver.quarantine order by kafka_offset",
    ) == [
        (1, "invalid_field:event_type", '"event_id'),
        (2, "invalid_field:experiment_id", '"event_id'),
        (3, "missing_field:variant", '"event_id'),
    ]


def test_a_late_first_exposure_moves_the_first_of_later_days_and_an_earlier_publication_still_answers(
    lakehouse: Lakehouse,
) -> None:
    world = World(lakehouse.settings, lakehouse.engine)
    before = publish(
        lakehouse, world, product(0, minutes=NEXT_DAY), product(1, minutes=NEXT_DAY + 5, event_type="conversion")
    )
    late = product(2, minutes=3, received_at=HOUR + timedelta(days=1, hours=2))
    after = publish(lakehouse, world, late)

    query = "select distinct first_exposure_at from lake.silver.product_events where event_date = date '2026-02-02'"
    assert read(lakehouse, query, before) == [(HOUR + timedelta(days=1),)]
    assert read(lakehouse, query, after) == [(HOUR + timedelta(minutes=3),)]
    # For the later day nothing was written: the late event's rows are those of its own hour.
    changed = {table: change for table, change in after.changes.items() if any(change.values())}
    assert after.hours == (HOUR,)
    assert changed["silver.events"] == changed["silver.experiment_exposures"] == {"added": 1, "removed": 0}


@pytest.mark.parametrize("table", ["events", "product_events"])
def test_one_days_query_reads_that_days_files_alone(lakehouse: Lakehouse, table: str) -> None:
    world = World(lakehouse.settings, lakehouse.engine)
    rows = [product(number, minutes=number * NEXT_DAY, user=f"u{number}") for number in range(4)]
    publish(lakehouse, world, *rows)

    assert files_read(lakehouse, f"select max(payload) from lake.silver.{table}") == 4
    one_day = f"select event_id, payload from lake.silver.{table} where event_date = date '2026-02-03'"
    assert read(lakehouse, one_day.replace(", payload", "")) == [("p2",)]
    assert files_read(lakehouse, one_day) == 1


def files_read(lakehouse: Lakehouse, query: str) -> int:
    """How many files of silver.events a query opens, as DuckDB counts them while it runs."""
    [(_, plan)] = read(lakehouse, f"explain (analyze, format json) {query}")
    scans = re.findall(r'"Table": "events".*?"Total Files Read": "(\d+)"', plan, re.DOTALL)
    assert len(scans) == 1
    return int(scans[0])


def test_the_view_is_made_once_and_again_when_it_says_something_else(lakehouse: Lakehouse) -> None:
    assert create_missing_tables(lakehouse.settings) == []
    with open_lake(lakehouse.settings, read_only=False) as lake:
        lake.execute("create or replace view lake.silver.product_events as select 1 as event_id")
    assert create_missing_tables(lakehouse.settings) == ["silver.product_events"]
    assert create_missing_tables(lakehouse.settings) == []
    assert read(lakehouse, "select event_id from lake.silver.product_events") == []
