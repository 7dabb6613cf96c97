"""Decides whether the live windows may start: compares the checkpoint with the tables. Pure; no I/O.

Minutes are whole values of Spark's state: with another checkpoint they would be counted from somewhere in the middle.
"""

from collections.abc import Mapping

from storage.live.state import QueryState
from streaming.commit_metadata import Offsets
from streaming.guards import check_broker_holds

RECOVER = (
    "`tidemark recover realtime-windows` begins a new checkpoint and counts the hours again that gold has not published"
)


def check_plan(state: QueryState, plan_version: int) -> list[str]:
    """Whether the state in the checkpoint is one that this version of the query can read. One without a batch holds none."""
    if state.last_batch is None or state.plan_version in (None, plan_version):
        return []
    return [
        f"the checkpoint was written by plan {state.plan_version} of the query, and this is plan {plan_version}: {RECOVER}"
    ]


def check_checkpoint(state: QueryState, query_id: str | None, planned: int, committed: int) -> list[str]:
    """Whether the checkpoint is the one that the tables were written from, and goes on where they end."""
    if state.last_batch is None:
        # A first start, or one that died before its first batch was written. Spark repeats that batch.
        if committed >= 0:
            return [
                f"the checkpoint is {committed + 1} batches further than the tables, which hold none of them: {RECOVER}"
            ]
        return []
    if query_id is None:
        return [f"the tables hold {state.last_batch + 1} batches, but there is no checkpoint: {RECOVER}"]
    if query_id != state.query_id:
        return [f"the checkpoint is that of query {query_id}, the tables are those of {state.query_id}: {RECOVER}"]
    if not committed <= state.last_batch <= planned:
        return [
            f"the tables end with batch {state.last_batch}, the checkpoint with {planned} planned and {committed} committed; one of them "
            f"was restored: {RECOVER}"
        ]
    return []


def check_topic(state: QueryState, found: Mapping[str, str], ends: Offsets) -> list[str]:
    """Whether the topic is the one that was counted."""
    recreated = [
        f"topic {topic} was recreated (id {found[topic]}, counted before as {known}); its minutes would be mixed with old ones: {RECOVER}"
        for topic, known in sorted(state.topic_ids.items())
        if topic in found and found[topic] != known
    ]
    renamed = [
        f"topic {topic} was counted before and is not read any more ({', '.join(sorted(found))} is): name it again, or {RECOVER}"
        for topic in sorted(state.topic_ids)
        if topic not in found
    ]
    counted = {topic: {p: end - 1 for p, end in of.items() if end} for topic, of in state.offsets.items()}
    return (
        recreated
        or renamed
        or [problem.replace("bronze", "the live windows") for problem in check_broker_holds(counted, ends)]
    )
