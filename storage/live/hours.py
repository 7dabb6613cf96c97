"""Which hours gold answers for, and which are to be compared with it. The comparison: storage.live.parity."""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert

from storage.control.hours import BEFORE_ALL_VERSIONS, IS_DIRTY
from storage.control.tables import hours as bronze_hours
from storage.live.minutes import HOUR
from storage.live.tables import hours, queries

# An hour just over is still being landed and published.
SETTLE = timedelta(seconds=60)


Landed = Mapping[str, Mapping[int, int]]
"""Topic → partition → the highest offset in bronze."""


@dataclass(frozen=True)
class DueHour:
    """An hour whose minutes are closed and whose publication was not compared with them yet. Gold has nothing of it behind `landed`."""

    hour: datetime
    published_version: int
    landed: Landed


def mark_superseded(engine: Engine, now: datetime) -> int:
    """Notes the hours that are over and published as they are in bronze, whatever live has of them. Returns how many are new; they stay."""
    known = sa.select(hours.c.hour).where(hours.c.superseded_at.is_not(None))
    over = sa.select(bronze_hours.c.hour, sa.literal(now, sa.TIMESTAMP(timezone=True))).where(
        bronze_hours.c.hour <= now - HOUR - SETTLE, ~IS_DIRTY, bronze_hours.c.hour.not_in(known)
    )
    statement = insert(hours).from_select(["hour", "superseded_at"], over)
    statement = statement.on_conflict_do_update(
        index_elements=[hours.c.hour], set_={"superseded_at": statement.excluded.superseded_at}
    )
    with engine.begin() as connection:
        return connection.execute(statement).rowcount


def list_due(engine: Engine, version: int, landed_at: Callable[[int], Landed], query: str) -> list[DueHour]:
    """Hours to compare, oldest first, also those of which live has no minute; those whose minutes retention removed are not.

    Each side must be as far as the other was: bronze as live when it closed the hour, and live as bronze when the hour was published. What
    live left out meanwhile would differ otherwise, and nothing would compare the hour again.

    Args:
        version: the bronze version up to which hours are known to be dirty or not.
        landed_at: the offsets of a bronze version; empty where the log no longer tells.
    """
    statement = (
        sa.select(hours.c.hour, hours.c.offsets, bronze_hours.c.published_version, queries.c.offsets.label("read"))
        .join(bronze_hours, bronze_hours.c.hour == hours.c.hour)
        .join(queries, queries.c.name == query)
        .where(
            hours.c.closed_at.is_not(None),
            hours.c.removed_at.is_(None),
            ~IS_DIRTY,
            sa.or_(hours.c.compared_version.is_(None), hours.c.compared_version < bronze_hours.c.published_version),
            sa.or_(queries.c.counted_from.is_(None), hours.c.hour >= queries.c.counted_from),
        )
        .order_by(hours.c.hour)
    )
    with engine.connect() as connection:
        rows = connection.execute(statement).all()
    landed = landed_at(version) if rows else {}
    known = {version: landed}
    due = []
    for row in rows:
        if row.published_version not in known:
            known[row.published_version] = _landed_since(row.published_version, version, landed_at)
        if _has_landed(row.offsets, landed) and _has_read(row.read, known[row.published_version]):
            due.append(DueHour(row.hour, row.published_version, landed))
    return due


def note_comparison(engine: Engine, due: DueHour, comparison: Mapping[str, Any], now: datetime) -> None:
    """Keeps the newest comparison of the hour. Idempotent."""
    with engine.begin() as connection:
        connection.execute(
            sa.update(hours)
            .where(hours.c.hour == due.hour)
            .values(compared_version=due.published_version, compared_at=now, comparison=dict(comparison))
        )


def forget_compared_versions(engine: Engine) -> None:
    """Bronze's versions have begun anew: an hour that is published again is compared again. What a comparison said stays."""
    with engine.begin() as connection:
        compared = sa.update(hours).where(hours.c.compared_version.is_not(None))
        connection.execute(compared.values(compared_version=BEFORE_ALL_VERSIONS))


def _landed_since(first: int, last: int, landed_at: Callable[[int], Landed]) -> Landed:
    """What bronze held at `first`, or at the first version of which the log still tells: it is cut from its old end."""
    found = landed_at(first)
    if found:
        return found
    return landed_at(bisect_left(range(last), True, first, key=lambda version: bool(landed_at(version))))


def _has_read(ends: Mapping[str, Mapping[str, int]], landed: Landed) -> bool:
    """Whether the query has read every record of its topics that bronze holds."""
    return all(
        of.get(str(partition), 0) > offset
        for topic, of in ends.items()
        for partition, offset in landed.get(topic, {}).items()
    )


def _has_landed(ends: Mapping[str, Mapping[str, int]], landed: Landed) -> bool:
    """Whether bronze holds every record below `ends`."""
    return all(
        landed.get(topic, {}).get(int(partition), -1) >= end - 1
        for topic, of in ends.items()
        for partition, end in of.items()
    )
