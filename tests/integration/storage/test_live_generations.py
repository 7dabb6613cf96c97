"""A new checkpoint of the live windows: from which hour on it counts, and what is forgotten of what it counts again."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from storage.control.engine import make_engine
from storage.control.hours import TouchedHour, feed
from storage.live.batches import Batch, apply_batch, close_before
from storage.live.state import WINDOWS_QUERY, begin_generation, open_state, remember_start
from storage.live.tables import hours, left_out
from storage.settings import StorageSettings
from streaming.live_recovery import plan_recovery
from tests.fixtures.live_records import HOUR, click, expected_cells, ledger_cell

pytestmark = [pytest.mark.integration, pytest.mark.feature("S1-10")]

TOPIC = "events.raw.v1"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def engine(storage_settings: StorageSettings) -> Iterator[Engine]:
    made = make_engine(storage_settings)
    yield made
    made.dispose()


def ledger_places(engine: Engine) -> set[tuple[int, int]]:
    with engine.connect() as connection:
        return {
            tuple(row) for row in connection.execute(sa.select(left_out.c.kafka_partition, left_out.c.kafka_offset))
        }


def test_what_is_read_again_leaves_the_ledger_and_closes_again(engine: Engine) -> None:
    # Regression: a record that was unreadable once stayed left out by the ledger when it was counted at last.
    left = [
        ledger_cell(click(f"e{partition}-{offset}", HOUR), "unreadable", TOPIC, partition, offset)
        for partition in (0, 1)
        for offset in (4, 5, 6)
    ]
    remember_start(engine, WINDOWS_QUERY, {TOPIC: "id"}, 1)
    apply_batch(engine, Batch(WINDOWS_QUERY, "query", 0, {TOPIC: {0: 9, 1: 9}}, None), left)
    close_before(engine, WINDOWS_QUERY, HOUR - 60 * MINUTE)
    close_before(engine, WINDOWS_QUERY, HOUR + 60 * MINUTE)
    for _ in range(2):
        begin_generation(engine, WINDOWS_QUERY, 1, {TOPIC: {0: 5, 1: 6}}, HOUR)
        assert ledger_places(engine) == {(0, 4), (1, 4), (1, 5)}
    state = open_state(engine)
    assert (state.generation, state.plan_version, state.query_id, state.last_batch) == (1, None, None, None)
    with engine.connect() as connection:
        closed = dict(connection.execute(sa.select(hours.c.hour, hours.c.closed_at)).tuples().all())
    assert (closed[HOUR - 60 * MINUTE] is None, closed[HOUR] is None) == (False, True)

    begin_generation(engine, WINDOWS_QUERY, 2, {}, HOUR)
    assert ledger_places(engine) == set(), "it reads from the beginning"


def test_an_hour_that_has_landed_and_was_not_counted_is_counted(engine: Engine) -> None:
    # Regression: only hours with minutes were looked at; what live had missed altogether it went on missing.
    now = HOUR + 200 * MINUTE
    apply_batch(
        engine,
        Batch(WINDOWS_QUERY, "query", 0, {TOPIC: {0: 1}}, None),
        expected_cells([click("a", HOUR + 150 * MINUTE)]),
    )
    feed(
        engine,
        [TouchedHour(hour, 1, 1, "arrival") for hour in (HOUR - timedelta(days=3), HOUR)],
        after_version=None,
        to_version=1,
    )
    plan = plan_recovery(engine, lambda moment: {TOPIC: {0: int(moment < HOUR)}}, now)
    assert (plan.generation, plan.counted_from, plan.starts) == (1, HOUR, {TOPIC: {0: 1}})
