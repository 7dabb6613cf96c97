"""Deletes live minutes that gold has long answered for, their ledger, and old alerts. Which hours may go, and the deleting; no schedule.

An hour goes whole and in one transaction. Its row in `live.hours` stays: it says that gold answers. Open minutes, and closed ones that are
not published or not compared yet, never go.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from storage.control.alerts import resolve_alerts
from storage.control.hours import IS_DIRTY
from storage.control.tables import alerts
from storage.control.tables import hours as bronze_hours
from storage.live.hour_alerts import DIFFERS, subject_of
from storage.live.minutes import HOUR
from storage.live.parity import NEAR
from storage.live.state import WINDOWS_QUERY
from storage.live.tables import anomalies, hours, left_out, minutes, queries

_LEDGER_HOUR = sa.func.date_trunc("hour", left_out.c.occurred_at, "UTC")
# Compared as it is published; or never to be, because another checkpoint counted it.
_IS_DONE = sa.and_(
    hours.c.superseded_at.is_not(None),
    hours.c.closed_at.is_not(None),
    ~IS_DIRTY,
    sa.or_(
        hours.c.compared_version >= bronze_hours.c.published_version,
        sa.exists(
            sa.select(queries.c.name).where(queries.c.name == WINDOWS_QUERY, queries.c.counted_from > hours.c.hour)
        ),
    ),
)


@dataclass(frozen=True)
class Removal:
    """What a pass removed, or would remove. `hours` are those whose minutes go; ledger rows go by hours of their own."""

    hours: tuple[datetime, ...]
    minute_rows: int
    ledger_rows: int
    alert_rows: int


def plan_removal(engine: Engine, *, minutes_before: datetime, alerts_before: datetime, limit_hours: int) -> Removal:
    """What `remove` would remove now: the oldest hours first, `limit_hours` at most."""
    with engine.connect() as connection:
        done = _done_hours(connection, minutes_before, limit_hours)
        ledger = _ledger_hours(connection, minutes_before, done, limit_hours)
        counts = {hour: _count(connection, minutes, _minutes_of(hour)) for hour in done}
        return Removal(
            tuple(hour for hour, count in counts.items() if count),
            sum(counts.values()),
            sum(_count(connection, left_out, _ledger_of(hour)) for hour in ledger),
            _count(connection, anomalies, _old_alerts(alerts_before)),
        )


def remove(engine: Engine, *, minutes_before: datetime, alerts_before: datetime, limit_hours: int) -> Removal:
    """Removes minutes and ledger of hours before `minutes_before`, and alerts resolved before `alerts_before`. Idempotent.

    The ledger stays a day longer than the minutes: comparing an hour asks where copies of its records went.
    """
    with engine.connect() as connection:
        done = _done_hours(connection, minutes_before, limit_hours)
    removed = [(hour, _remove_hour(engine, hour)) for hour in done]
    with engine.connect() as connection:
        ledger = _ledger_hours(connection, minutes_before, (), limit_hours)
    ledger_rows = 0
    for hour in ledger:
        with engine.begin() as connection:
            ledger_rows += connection.execute(sa.delete(left_out).where(_ledger_of(hour))).rowcount
    with engine.begin() as connection:
        alert_rows = connection.execute(sa.delete(anomalies).where(_old_alerts(alerts_before))).rowcount
    return Removal(
        tuple(hour for hour, count in removed if count), sum(count for _, count in removed), ledger_rows, alert_rows
    )


def _done_hours(connection: Connection, before: datetime, limit: int) -> list[datetime]:
    statement = (
        sa.select(hours.c.hour)
        .join(bronze_hours, bronze_hours.c.hour == hours.c.hour)
        .where(hours.c.hour <= before - HOUR, hours.c.removed_at.is_(None), _IS_DONE)
        .order_by(hours.c.hour)
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def _ledger_hours(connection: Connection, before: datetime, gone: Collection[datetime], limit: int) -> list[datetime]:
    """Published hours that have ledger rows and that nobody compares; those of `gone` count as removed."""
    found = (
        sa.select(_LEDGER_HOUR.label("hour")).where(left_out.c.occurred_at < before - NEAR - HOUR).distinct().subquery()
    )
    is_compared = sa.or_(
        sa.exists(
            sa.select(minutes.c.minute).where(
                minutes.c.minute >= found.c.hour, minutes.c.minute < found.c.hour + sa.literal(HOUR)
            )
        ),
        sa.exists(
            sa.select(hours.c.hour).where(
                hours.c.hour == found.c.hour, hours.c.closed_at.is_not(None), hours.c.removed_at.is_(None)
            )
        ),
    )
    statement = (
        sa.select(found.c.hour)
        .join(bronze_hours, bronze_hours.c.hour == found.c.hour)
        .where(found.c.hour <= before - NEAR - 2 * HOUR, ~IS_DIRTY, sa.or_(~is_compared, found.c.hour.in_(gone)))
        .order_by(found.c.hour)
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def _remove_hour(engine: Engine, hour: datetime) -> int:
    """Deletes the hour's minutes if it may still go: a new checkpoint or a late event may have opened it since."""
    with engine.begin() as connection:
        statement = (
            sa.select(hours.c.hour)
            .join(bronze_hours, bronze_hours.c.hour == hours.c.hour)
            .where(hours.c.hour == hour, _IS_DONE)
            .with_for_update(of=(hours, bronze_hours))
        )
        if connection.execute(statement).first() is None:
            return 0
        connection.execute(sa.update(hours).where(hours.c.hour == hour).values(removed_at=sa.func.now()))
        # It is compared no more, so that nothing else would end its alert.
        resolve_alerts(connection, DIFFERS, alerts.c.subject == subject_of(hour))
        return connection.execute(sa.delete(minutes).where(_minutes_of(hour))).rowcount


def _minutes_of(hour: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(minutes.c.minute >= hour, minutes.c.minute < hour + HOUR)


def _ledger_of(hour: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(left_out.c.occurred_at >= hour, left_out.c.occurred_at < hour + HOUR)


def _old_alerts(before: datetime) -> sa.ColumnElement[bool]:
    return anomalies.c.resolved_at < before


def _count(connection: Connection, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(table).where(condition)).scalar_one()
