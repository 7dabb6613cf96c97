"""Alerts: at most one open row per kind and subject, so that a lasting trouble raises one alert and not one per look."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from storage.control.tables import alerts


@dataclass(frozen=True)
class Alert:
    """One that is open."""

    kind: str
    subject: str
    message: str
    opened_at: datetime


def list_open(engine: Engine, limit: int = 100) -> Sequence[Alert]:
    """The open alerts, newest first."""
    statement = (
        sa.select(alerts.c.kind, alerts.c.subject, alerts.c.message, alerts.c.opened_at)
        .where(alerts.c.resolved_at.is_(None))
        .order_by(alerts.c.opened_at.desc(), alerts.c.alert_id.desc())
        .limit(limit)
    )
    with engine.connect() as connection:
        return [Alert(*row) for row in connection.execute(statement)]


def open_alert(engine: Engine, kind: str, subject: str, message: str, details: dict[str, Any]) -> bool:
    """True when the alert is new; False when one of this kind and subject is open already."""
    statement = insert(alerts).values(kind=kind, subject=subject, message=message, details=details)
    statement = statement.on_conflict_do_nothing(
        index_elements=[alerts.c.kind, alerts.c.subject], index_where=alerts.c.resolved_at.is_(None)
    )
    with engine.begin() as connection:
        return connection.execute(statement).rowcount == 1


def resolve_alert(engine: Engine, kind: str, subject: str) -> bool:
    """True when an open alert was resolved."""
    with engine.begin() as connection:
        return resolve_alerts(connection, kind, alerts.c.subject == subject) > 0


def resolve_alerts(connection: Connection, kind: str, which: sa.ColumnElement[bool]) -> int:
    """Resolves the open alerts of a kind that a condition on `alerts` chooses, in the caller's transaction. Returns how many."""
    statement = sa.update(alerts).where(alerts.c.kind == kind, which, alerts.c.resolved_at.is_(None))
    return connection.execute(statement.values(resolved_at=sa.func.now())).rowcount
