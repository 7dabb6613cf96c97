"""Dirty hours: which hours of bronze changed since they were last published, and why a dirty one waits.

An hour is dirty while `touched_version > published_version`. The Delta cursor moves in the same transaction as the hours it feeds,
so a crash between the two is impossible; a run that dies leaves its hours dirty. Backfill ranges and schedules do not belong here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from storage.control.tables import bronze_cursor, hours

BACK_OFF_FIRST = timedelta(seconds=15)
BACK_OFF_LONGEST = timedelta(minutes=15)
# Of hours that were touched and published before bronze's versions began anew.
BEFORE_ALL_VERSIONS = -1
IS_DIRTY = sa.or_(hours.c.published_version.is_(None), hours.c.touched_version > hours.c.published_version)


@dataclass(frozen=True)
class TouchedHour:
    """An hour that bronze commits `first_version`..`last_version` added rows to, and the cause to record if it becomes dirty."""

    hour: datetime
    first_version: int
    last_version: int
    cause: str


@dataclass(frozen=True)
class DirtyHour:
    """An hour to build. `blocked_by` names the check or error of the last failed attempt.

    `rules_version` names the rules that its published rows come by (`platform_assets.growth`); None where that is not known.
    """

    hour: datetime
    touched_version: int
    published_version: int | None
    dirty_since_version: int
    cause: str
    touched_at: datetime
    attempts: int
    next_attempt_at: datetime | None
    blocked_by: str | None
    blocked_at: datetime | None
    rules_version: str | None = None


def read_cursor(engine: Engine) -> int | None:
    """The newest bronze version whose hours are recorded; None before the first."""
    with engine.connect() as connection:
        return connection.execute(sa.select(bronze_cursor.c.version)).scalar()


def feed(engine: Engine, touched: Iterable[TouchedHour], *, after_version: int | None, to_version: int) -> bool:
    """Records touched hours and moves the cursor from `after_version` to `to_version`, both or neither.

    False when another feeder moved the cursor first: nothing was written, and the caller reads the cursor again.
    """
    with engine.begin() as connection:
        if not _move_cursor(connection, after_version, to_version):
            return False
        rows = [
            {
                "hour": item.hour,
                "touched_version": item.last_version,
                "dirty_since_version": item.first_version,
                "cause": item.cause,
            }
            for item in sorted(touched, key=lambda item: item.hour)
        ]
        for start in range(0, len(rows), 1000):
            _upsert(connection, rows[start : start + 1000])
    return True


def begin_anew(engine: Engine, cursor: int) -> bool:
    """Bronze's versions have gone back: forgets the cursor, and which versions touches and published rows are of.

    What is clean stays so until it is touched, and is then built whole; what is dirty stays dirty. False when the cursor is another one.
    """
    with engine.begin() as connection:
        if not connection.execute(sa.delete(bronze_cursor).where(bronze_cursor.c.version == cursor)).rowcount:
            return False
        before_all = BEFORE_ALL_VERSIONS
        published = sa.case(
            (hours.c.published_version.is_(None), None), (IS_DIRTY, before_all - 1), else_=sa.literal(before_all)
        )
        connection.execute(
            sa.update(hours).values(
                touched_version=before_all,
                published_version=published,
                dirty_since_version=sa.case((IS_DIRTY, 0), else_=None),
                rules_version=None,
            )
        )
    return True


def _move_cursor(connection: Connection, after_version: int | None, to_version: int) -> bool:
    if after_version is None:
        statement = insert(bronze_cursor).values(id=1, version=to_version).on_conflict_do_nothing()
        return connection.execute(statement).rowcount == 1
    update = sa.update(bronze_cursor).where(bronze_cursor.c.version == after_version).values(version=to_version)
    return connection.execute(update).rowcount == 1


def _upsert(connection: Connection, rows: list[dict[str, object]]) -> None:
    statement = insert(hours).values(rows)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=[hours.c.hour],
        set_={
            "touched_version": sa.func.greatest(hours.c.touched_version, new.touched_version),
            # A touch at or below published_version was already read by that publication.
            "dirty_since_version": sa.case(
                (new.touched_version <= sa.func.coalesce(hours.c.published_version, -1), hours.c.dirty_since_version),
                else_=sa.func.coalesce(hours.c.dirty_since_version, new.dirty_since_version),
            ),
            # The first cause of a dirty stretch stands; a clean hour takes the new one.
            "cause": sa.case((IS_DIRTY, hours.c.cause), else_=new.cause),
            "touched_at": sa.case((IS_DIRTY, hours.c.touched_at), else_=sa.func.now()),
        },
    )
    connection.execute(statement)


def list_dirty(engine: Engine) -> list[DirtyHour]:
    """Every dirty hour, oldest first, those that wait for a retry included."""
    statement = sa.select(hours).where(IS_DIRTY).order_by(hours.c.hour)
    with engine.connect() as connection:
        rows = connection.execute(statement).all()
    return [
        DirtyHour(
            hour=row.hour,
            touched_version=row.touched_version,
            published_version=row.published_version,
            dirty_since_version=row.dirty_since_version if row.dirty_since_version is not None else row.touched_version,
            cause=row.cause,
            touched_at=row.touched_at,
            attempts=row.attempts,
            next_attempt_at=row.next_attempt_at,
            blocked_by=row.blocked_by,
            blocked_at=row.blocked_at,
            rules_version=row.rules_version,
        )
        for row in rows
    ]


def list_known(engine: Engine, first: datetime, end: datetime) -> list[datetime]:
    """Hours from `first` to before `end` that ever had records, oldest first."""
    statement = sa.select(hours.c.hour).where(hours.c.hour >= first, hours.c.hour < end).order_by(hours.c.hour)
    with engine.connect() as connection:
        return list(connection.execute(statement).scalars())


def forget_rules(engine: Engine, changing_hours: Sequence[datetime]) -> None:
    """Notes that published rows of these hours are about to change: until `mark_published` nobody knows what they come from. Idempotent."""
    with engine.begin() as connection:
        connection.execute(sa.update(hours).where(_is_among(changing_hours)).values(rules_version=None))


def mark_published(
    engine: Engine,
    published_hours: Sequence[datetime],
    bronze_version: int,
    run_id: str,
    rules_version: str | None = None,
) -> None:
    """Notes that the published rows of these hours come from `bronze_version`, by those rules; a touch after it keeps the hour dirty.

    Idempotent.
    """
    statement = (
        sa.update(hours)
        .where(_is_among(published_hours))
        .values(
            published_version=sa.func.greatest(sa.func.coalesce(hours.c.published_version, -1), bronze_version),
            dirty_since_version=sa.case(
                (hours.c.touched_version <= bronze_version, None),
                else_=sa.func.greatest(hours.c.dirty_since_version, bronze_version + 1),
            ),
            attempts=0,
            next_attempt_at=None,
            blocked_by=None,
            blocked_at=None,
            last_run_id=run_id,
            rules_version=rules_version,
        )
    )
    with engine.begin() as connection:
        connection.execute(statement)


def _is_among(wanted: Sequence[datetime]) -> sa.ColumnElement[bool]:
    return hours.c.hour == sa.any_(sa.cast(list(wanted), sa.ARRAY(sa.TIMESTAMP(timezone=True))))


def mark_failed(engine: Engine, failed_hours: Sequence[datetime], blocked_by: str, run_id: str, now: datetime) -> None:
    """Keeps the hours dirty, names what stopped them and sets the next attempt: 15 s, doubled each time, at most 15 min."""
    columns = sa.select(hours.c.hour, hours.c.attempts)
    with engine.begin() as connection:
        rows = connection.execute(columns.where(_is_among(failed_hours)).with_for_update()).all()
        for row in rows:
            wait = min(BACK_OFF_FIRST * 2 ** min(row.attempts, 10), BACK_OFF_LONGEST)
            connection.execute(
                sa.update(hours)
                .where(hours.c.hour == row.hour)
                .values(
                    attempts=row.attempts + 1,
                    next_attempt_at=now + wait,
                    blocked_by=blocked_by,
                    blocked_at=now,
                    last_run_id=run_id,
                )
            )
