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


def forget(engine: Engine, name: str, silent_seconds: float) -> bool:
    """True when `name` is gone, with its alerts; False for one that is unknown, or was heard in these seconds. Beating brings it back."""
    is_silent = heartbeats.c.beat_at + timedelta(seconds=silent_seconds) <= sa.func.clock_timestamp()
    statement = sa.delete(heartbeats).where(heartbeats.c.name == name, is_silent)
    with engine.begin() as connection:
        if not connection.execute(statement).rowcount:
            return False
        for kind in (SILENT, STALLED):
            resolve_alerts(connection, kind, alerts.c.subject == name)
        return True
