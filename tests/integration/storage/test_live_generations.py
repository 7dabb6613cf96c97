"""A new checkpoint of the live windows: from which hour on it counts, and what is forgotten of what it counts again."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from storage.control.alerts import list_open, open_alert
from storage.control.engine import make_engine
from storage.control.hours import TouchedHour, feed
from storage.live.batches import Batch, apply_batch, close_before
from storage.live.hour_alerts import DIFFERS, subject_of
from storage.live.state import WINDOWS_QUERY, begin_generation, open_state, remember_start
from storage.live.tables import hours, left_out, minutes
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
    asked = []
    plan = plan_recovery(
        engine,
        lambda moment: (asked.append(moment), {TOPIC: {0: int(moment < HOUR)}})[1],  # type: ignore[func-returns-value]
        now,
        late_after_seconds=600,
    )
    assert asked == [HOUR - 11 * MINUTE], "copies of what came just before are such"
    assert (plan.generation, plan.counted_from, plan.starts) == (1, HOUR, {TOPIC: {0: 1}})


def test_cells_that_are_counted_anew_are_gone_and_what_is_compared_no_more_has_no_alert(engine: Engine) -> None:
    # Regression: what another version counts under other keys stood beside it, and the sum of both was told.
    cells = [click("before", HOUR - 5 * MINUTE), click("again", HOUR + MINUTE, platform="web")]
    remember_start(engine, WINDOWS_QUERY, {TOPIC: "id"}, 1)
    apply_batch(engine, Batch(WINDOWS_QUERY, "query", 0, {TOPIC: {0: 2}}, None), expected_cells(cells))
    for hour in (HOUR - 60 * MINUTE, HOUR):
        open_alert(engine, DIFFERS, subject_of(hour), "differs", {})
    begin_generation(engine, WINDOWS_QUERY, 1, {TOPIC: {0: 1}}, HOUR)
    again = expected_cells([click("again", HOUR + MINUTE, platform="ios")])
    apply_batch(engine, Batch(WINDOWS_QUERY, "other", 0, {TOPIC: {0: 2}}, None), again)
    with engine.connect() as connection:
        counted = connection.execute(
            sa.select(minutes.c.minute, minutes.c["keys"]).where(minutes.c.breakdown == "events").order_by("minute")
        )
        assert [(minute, keys[-1]) for minute, keys in counted] == [(HOUR - 5 * MINUTE, "web"), (HOUR + MINUTE, "ios")]
    assert [alert.subject for alert in list_open(engine)] == [subject_of(HOUR)]
