"""Whose turn it is in the pool of builds.

Dagster's queue goes by priority alone, and under steady traffic a lane that asks again as soon as it has published leaves no room for what
stands behind it: late events, the nightly reconciliation, retention, replays.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.tags import POOL_TAG_PREFIX

from platform_assets.settings import BUILDS_POOL

# Dagster marks each run with the pools that it needs, also one that somebody started in the UI.
NEEDS_THE_POOL = {f"{POOL_TAG_PREFIX}{BUILDS_POOL}": "true"}
# So long a run stands behind others of higher priority; then these wait for it, once.
PATIENCE_SECONDS = 60.0
# Enough to find the newest that began: a tick asks for four.
NEWEST_RUNS = 25


@dataclass(frozen=True)
class Turn:
    """A run that needs the pool: its place in the queue, and the seconds for which it waited, until it began or up to now."""

    run_id: str
    priority: int
    waited_seconds: float
    started_at: float | None
    has_ended: bool = False


def who_is_due(turns: list[Turn], priority: int) -> Turn | None:
    """The run of lower priority for which a lane asks for nothing now: the one that waits longest, if too long.

    None as well right after such a run: then it is the lane's turn. And while no run holds the place: what waits then waits for something
    else, and nothing may hold up what arrives for good.
    """
    began = [turn for turn in turns if turn.started_at is not None]
    if all(turn.has_ended for turn in began):
        return None
    if max(began, key=lambda turn: turn.started_at or 0.0).waited_seconds > PATIENCE_SECONDS:
        return None
    waiting = [turn for turn in turns if turn.started_at is None and turn.priority < priority]
    longest = max(waiting, key=lambda turn: turn.waited_seconds, default=None)
    return longest if longest is not None and longest.waited_seconds > PATIENCE_SECONDS else None


def read_turns(instance: dg.DagsterInstance, now: datetime | None = None) -> list[Turn]:
    """The queued runs and the newest of those that began."""
    queued = dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED], tags=NEEDS_THE_POOL)
    newest = instance.get_run_records(dg.RunsFilter(tags=NEEDS_THE_POOL), limit=NEWEST_RUNS)
    moment = (now or datetime.now(UTC)).timestamp()
    turns: dict[str, Turn] = {}
    for record in [*instance.get_run_records(queued), *newest]:
        run = record.dagster_run
        if record.start_time is None and run.status != dg.DagsterRunStatus.QUEUED:
            continue
        until = moment if record.start_time is None else record.start_time
        waited = until - record.create_timestamp.timestamp()
        priority = int(run.tags.get("dagster/priority", "0"))
        turns[run.run_id] = Turn(run.run_id, priority, waited, record.start_time, run.is_finished)
    return list(turns.values())
