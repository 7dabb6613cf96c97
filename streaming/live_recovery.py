"""Begins a new checkpoint of the live windows: plans from which hour on they are counted again, then puts it in force. Needs no Spark.

Exact because minutes come of stamps alone: whoever reads from a minute before an hour meets every record that can count in it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Engine

from ingestion.contracts.clocks import FUTURE_TOLERANCE_SECONDS
from storage.control.tables import hours as bronze_hours
from storage.live.minutes import HOUR
from storage.live.state import WINDOWS_QUERY, begin_generation, open_state
from storage.live.tables import hours, minutes
from streaming.commit_metadata import Offsets

# Hours that gold never published are not counted again for ever.
LONGEST_RECOUNT = timedelta(days=1)


@dataclass(frozen=True)
class LiveRecoveryPlan:
    """What a recovery would do: read from `starts`, count minutes from `counted_from` on, leave older ones as they are."""

    generation: int
    counted_from: datetime
    starts: Offsets


def plan_recovery(
    engine: Engine, offsets_at: Callable[[datetime], Offsets], now: datetime, *, late_after_seconds: int
) -> LiveRecoveryPlan:
    """From the oldest hour of the last day that gold does not answer for. `offsets_at`: the first offsets at or after a time.

    It reads from earlier on, so that copies of what came just before are known for such.
    """
    counted = sa.select(sa.func.date_trunc("hour", minutes.c.minute, "UTC").label("hour")).where(
        minutes.c.minute >= now - LONGEST_RECOUNT
    )
    # What has landed and is in no minute was not counted, which may be why this is wanted.
    known = sa.union(counted, sa.select(bronze_hours.c.hour)).subquery()
    superseded = sa.select(hours.c.hour).where(hours.c.superseded_at.is_not(None))
    oldest = sa.select(sa.func.min(known.c.hour)).where(
        known.c.hour >= now - LONGEST_RECOUNT, known.c.hour <= now, known.c.hour.not_in(superseded)
    )
    with engine.connect() as connection:
        found = connection.execute(oldest).scalar()
    running = now.replace(minute=0, second=0, microsecond=0)
    first_whole = (now - LONGEST_RECOUNT).replace(minute=0, second=0, microsecond=0) + HOUR
    counted_from = running if found is None else max(found.astimezone(UTC), first_whole)
    starts = offsets_at(counted_from - timedelta(seconds=late_after_seconds + FUTURE_TOLERANCE_SECONDS))
    return LiveRecoveryPlan(open_state(engine).generation + 1, counted_from, starts)


def perform_recovery(engine: Engine, plan: LiveRecoveryPlan) -> None:
    """Puts the new checkpoint in force. A driver that still runs on the old one ends with its next batch. Idempotent."""
    begin_generation(engine, WINDOWS_QUERY, plan.generation, plan.starts, plan.counted_from)
