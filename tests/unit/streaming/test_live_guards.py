"""Which checkpoints the live windows may go on from, and when everything of a moment has been read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from storage.live.state import QueryState
from streaming.live_guards import check_checkpoint, check_plan, check_topic
from streaming.live_progress import CatchUp

FRESH = QueryState("realtime_windows", 0, None, None, None, {}, {}, None, None, None, None)
COUNTED = replace(
    FRESH, plan_version=1, query_id="q1", last_batch=7, offsets={"live": {0: 10, 1: 0}}, topic_ids={"live": "id-1"}
)


@pytest.mark.parametrize(
    ("state", "query_id", "planned", "committed"),
    [
        (FRESH, None, -1, -1),
        (FRESH, "q1", 0, -1),
        (COUNTED, "q1", 7, 7),
        (COUNTED, "q1", 8, 7),
        (COUNTED, "q1", 7, 6),
    ],
    ids=["first start", "died before its first batch", "stopped", "died before the write", "died after the write"],
)
def test_it_goes_on(state: QueryState, query_id: str | None, planned: int, committed: int) -> None:
    assert check_checkpoint(state, query_id, planned, committed) == []


@pytest.mark.parametrize(
    ("state", "query_id", "planned", "committed", "found"),
    [
        (COUNTED, None, -1, -1, "hold 8 batches, but there is no checkpoint"),
        (COUNTED, "q2", 7, 7, "checkpoint is that of query q2, the tables are those of q1"),
        (COUNTED, "q1", 9, 8, "tables end with batch 7, the checkpoint with 9 planned and 8 committed"),
        (COUNTED, "q1", 3, 3, "tables end with batch 7, the checkpoint with 3 planned"),
        (FRESH, "q1", 3, 3, "4 batches further than the tables, which hold none"),
    ],
)
def test_it_is_refused_with_the_remedy(
    state: QueryState, query_id: str | None, planned: int, committed: int, found: str
) -> None:
    [problem] = check_checkpoint(state, query_id, planned, committed)
    assert found in problem
    assert "`tidemark recover realtime-windows`" in problem


def test_state_of_another_plan_is_refused_with_the_remedy() -> None:
    assert check_plan(COUNTED, 1) == []
    assert check_plan(FRESH, 2) == []
    assert check_plan(replace(FRESH, plan_version=1), 2) == [], "it died before its first batch: there is no state"
    [problem] = check_plan(COUNTED, 2)
    assert "written by plan 1 of the query, and this is plan 2" in problem
    assert "`tidemark recover realtime-windows`" in problem


def test_a_recreated_topic_and_another_broker_are_refused() -> None:
    assert check_topic(COUNTED, {"live": "id-1"}, {"live": {0: 10, 1: 3}}) == []
    [recreated] = check_topic(COUNTED, {"live": "id-2"}, {"live": {0: 10, 1: 3}})
    assert "recreated (id id-2, counted before as id-1)" in recreated
    [renamed] = check_topic(COUNTED, {"other": "id-9"}, {"other": {0: 10}})
    assert "topic live was counted before and is not read any more (other is)" in renamed
    [shorter] = check_topic(COUNTED, {"live": "id-1"}, {"live": {0: 9, 1: 0}})
    assert "Kafka ends before 9" in shorter


def test_a_moment_has_passed_once_the_batches_are_beyond_what_kafka_held_then() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    moments = iter(start + n * timedelta(seconds=1) for n in range(9))
    ends = iter([{"live": {0: 5, 1: 5}}, {"live": {0: 9, 1: 5}}])
    catch_up = CatchUp(lambda: next(ends), lambda: next(moments))
    assert catch_up.moment_passed({}) is None
    assert catch_up.moment_passed({"live": {0: 5, 1: 4}}) is None
    assert catch_up.moment_passed({"live": {0: 6, 1: 5}}) == start
    assert catch_up.moment_passed({"live": {0: 6, 1: 5}}) is None
    assert catch_up.moment_passed({"live": {0: 9, 1: 5}}) == start + timedelta(seconds=1)
