"""Idempotency keys that were used, and the event id of each, for one day. The event itself is not here."""

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert

from storage.control.tables import idempotency_keys

KEPT_FOR = timedelta(hours=24)
_PRUNED_AT_ONCE = 10_000


def find(engine: Engine, app_id: str, key: str) -> str | None:
    """The event id that the key was first used with, None when it was not used within a day."""
    columns = idempotency_keys.c
    statement = sa.select(columns.event_id).where(
        columns.app_id == app_id, columns.idempotency_key == key, columns.expires_at > sa.func.now()
    )
    with engine.connect() as connection:
        return connection.execute(statement).scalar()


def remember(engine: Engine, app_id: str, key: str, event_id: str) -> None:
    """Notes a use. The first one stands until its day is over. Idempotent."""
    statement = insert(idempotency_keys).values(
        app_id=app_id, idempotency_key=key, event_id=event_id, expires_at=sa.func.now() + KEPT_FOR
    )
    statement = statement.on_conflict_do_update(
        index_elements=[idempotency_keys.c.app_id, idempotency_keys.c.idempotency_key],
        set_={"event_id": statement.excluded.event_id, "expires_at": statement.excluded.expires_at},
        where=idempotency_keys.c.expires_at <= sa.func.now(),
    )
    with engine.begin() as connection:
        connection.execute(statement)


def prune(engine: Engine) -> int:
    """Deletes some thousands of those whose day is over, and tells how many. Rows that another replica deletes are passed over."""
    columns = idempotency_keys.c
    over = (
        sa.select(columns.app_id, columns.idempotency_key)
        .where(columns.expires_at <= sa.func.now())
        .limit(_PRUNED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    statement = sa.delete(idempotency_keys).where(sa.tuple_(columns.app_id, columns.idempotency_key).in_(over))
    with engine.begin() as connection:
        return connection.execute(statement).rowcount
