"""Whose turn it is in the pool of builds."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import sqlalchemy as sa

from platform_assets.turns import PATIENCE_SECONDS, Turn, read_turns, who_is_due
from tests.fixtures.pool_runs import pool_run

LONG, SHORT = PATIENCE_SECONDS + 1, 5.0
ARRIVALS, LATE, REPLAY = 10, 5, -5


def began(priority: int, at: float, waited: float = SHORT) -> Turn:
    return Turn(f"began-{at:.0f}", priority, waited, at)


def waits(priority: int, waited: float) -> Turn:
    return Turn(f"waits-{priority}", priority, waited, None)


def test_what_has_waited_too_long_behind_a_lane_goes_first() -> None:
    # Regression: two lanes that asked again as soon as they had published took every turn; a replay, and retention, never began.
    turns = [began(ARRIVALS, 1.0), waits(REPLAY, LONG), waits(LATE, SHORT)]
    for lane in (ARRIVALS, LATE):
        due = who_is_due(turns, lane)
        assert due is not None
        assert due.run_id == "waits--5"


@pytest.mark.parametrize(
    "turns",
    [
        [],
        [began(ARRIVALS, 1.0), waits(REPLAY, SHORT)],
        [began(ARRIVALS, 1.0), waits(ARRIVALS, LONG)],
        # One that had waited has just had its turn: now it is the lane's, however many more wait.
        [began(ARRIVALS, 1.0), began(REPLAY, 2.0, waited=LONG), waits(REPLAY, 9 * LONG)],
        # Nobody is in its way: it waits for something else, and what arrives must not wait with it.
        [replace(began(ARRIVALS, 1.0), has_ended=True), waits(REPLAY, 9 * LONG)],
    ],
)
def test_otherwise_a_lane_asks(turns: list[Turn]) -> None:
    assert who_is_due(turns, ARRIVALS) is None


def test_a_lane_that_has_had_its_turn_lets_the_next_one_go() -> None:
    turns = [began(REPLAY, 2.0, waited=LONG), began(ARRIVALS, 3.0), waits(REPLAY, LONG), waits(LATE, 2 * LONG)]
    due = who_is_due(turns, ARRIVALS)
    assert due is not None
    assert due.priority == LATE


def test_turns_are_read_from_dagster() -> None:
    with dg.instance_for_test() as instance:
        instance.add_run(pool_run("__ASSET_JOB", dg.DagsterRunStatus.SUCCESS, ARRIVALS))
        instance.add_run(pool_run("publish_dirty_hours", dg.DagsterRunStatus.STARTED, LATE))
        waiting = instance.add_run(pool_run("replay_days", dg.DagsterRunStatus.QUEUED, REPLAY))
        instance.add_run(pool_run("compact_bronze", dg.DagsterRunStatus.QUEUED, -10, pool="spark"))
        begin = sa.text("update runs set start_time = :at where status in ('STARTED', 'SUCCESS')")
        with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
            connection.execute(begin, {"at": time.time()})
        turns = read_turns(instance, datetime.now(UTC) + timedelta(seconds=LONG))
        found = {turn.priority: (turn.started_at is not None, turn.has_ended) for turn in turns}
        assert found == {ARRIVALS: (True, True), LATE: (True, False), REPLAY: (False, False)}, "of other pools none"
        due = who_is_due(turns, ARRIVALS)
        assert due is not None
        assert due.run_id == waiting.run_id
        assert who_is_due(read_turns(instance), ARRIVALS) is None, "it has only come"
