"""Heartbeats: one row per continuously running thing, overwritten at each beat. History belongs to metrics, not here."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert

from storage.control.alerts import resolve_alerts
from storage.control.tables import alerts, heartbeats

# Kinds of alerts whose subject is a heartbeat's name.
SILENT = "stale_heartbeat"
STALLED = "stalled_stream"


@dataclass(frozen=True)
class Heartbeat:
    """The newest sign of life of `name`, by the database's clock."""

    name: str
    beat_at: datetime
    details: dict[str, Any]


def beat(engine: Engine, name: str, details: dict[str, Any]) -> None:
    """Records that `name` lives, with what it wants to tell. Idempotent."""
    statement = insert(heartbeats).values(name=name, beat_at=sa.func.clock_timestamp(), details=details)
    statement = statement.on_conflict_do_update(
        index_elements=[heartbeats.c.name],
        set_={"beat_at": statement.excluded.beat_at, "details": statement.excluded.details},
    )
    with engine.begin() as connection:
        connection.execute(statement)


def last_details(engine: Engine, name: str) -> dict[str, Any]:
    """What `name` told last; nothing where it never did, or while the database is away."""
    statement = sa.select(heartbeats.c.details).where(heartbeats.c.name == name)
    try:
        with engine.connect() as connection:
            return dict(connection.execute(statement).scalar_one_or_none() or {})
    except sa.exc.SQLAlchemyError:
        return {}


def read_all(engine: Engine) -> list[Heartbeat]:
    """Every heartbeat, by name."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(heartbeats).order_by(heartbeats.c.name)).all()
    return [Heartbeat(row.name, row.beat_at, row.details) for row in rows]


def is_silent(engine: Engine, name: str, seconds: float) -> bool:
    """Whether `name` is known, and was not heard in these seconds."""
    with engine.connect() as connection:
        return connection.execute(sa.select(heartbeats.c.name).where(_silent(name, seconds))).first() is not None


def forget(engine: Engine, name: str, silent_seconds: float) -> bool:
    """True when `name` is gone, with its alerts; False where `is_silent` says so. Beating brings it back."""
    with engine.begin() as connection:
        if not connection.execute(sa.delete(heartbeats).where(_silent(name, silent_seconds))).rowcount:
            return False
        for kind in (SILENT, STALLED):
            resolve_alerts(connection, kind, alerts.c.subject == name)
        return True


def _silent(name: str, seconds: float) -> sa.ColumnElement[bool]:
    heard = heartbeats.c.beat_at + timedelta(seconds=seconds)
    return sa.and_(heartbeats.c.name == name, heard <= sa.func.clock_timestamp())
