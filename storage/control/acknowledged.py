"""The acknowledgement ledger: how many events the edge acknowledged per app, UTC hour of received_at and topic.

It is written after the broker's acknowledgement and apart from Kafka, so that a loss behind an acknowledgement shows: the checker
compares it with bronze. A killed API may leave it short by its last second, never too high.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert

from storage.control.tables import acknowledged

Count = tuple[str, datetime, str, int]


def add(engine: Engine, counts: Sequence[Count]) -> None:
    """Adds (app_id, received_hour, topic, event_count) to the ledger in one transaction. Not idempotent: call once per count."""
    if not counts:
        return
    totals: dict[tuple[str, datetime, str], int] = {}
    for app_id, received_hour, topic, event_count in counts:
        totals[app_id, received_hour, topic] = totals.get((app_id, received_hour, topic), 0) + event_count
    rows = [
        {"app_id": app_id, "received_hour": hour, "topic": topic, "event_count": count}
        for (app_id, hour, topic), count in sorted(totals.items())  # one lock order for all writers
    ]
    statement = insert(acknowledged).values(rows)
    statement = statement.on_conflict_do_update(
        index_elements=[acknowledged.c.app_id, acknowledged.c.received_hour, acknowledged.c.topic],
        set_={"event_count": acknowledged.c.event_count + statement.excluded.event_count},
    )
    with engine.begin() as connection:
        connection.execute(statement)


def read_all(engine: Engine) -> list[Count]:
    """The whole ledger, ordered by app, hour and topic."""
    columns = acknowledged.c
    statement = sa.select(columns.app_id, columns.received_hour, columns.topic, columns.event_count).order_by(
        columns.app_id, columns.received_hour, columns.topic
    )
    with engine.connect() as connection:
        return [(row.app_id, row.received_hour, row.topic, row.event_count) for row in connection.execute(statement)]


def read_topics(engine: Engine) -> set[str]:
    """Every topic that ever kept an acknowledged event."""
    with engine.connect() as connection:
        return set(connection.execute(sa.select(acknowledged.c.topic).distinct()).scalars())


def sum_since(engine: Engine, app_id: str, start: datetime, left_out_topics: Sequence[str]) -> int:
    """Events of the app acknowledged in the hours from `start` on, those of some topics left out."""
    columns = acknowledged.c
    statement = sa.select(sa.func.coalesce(sa.func.sum(columns.event_count), 0)).where(
        columns.app_id == app_id, columns.received_hour >= start, columns.topic.not_in(left_out_topics)
    )
    with engine.connect() as connection:
        return int(connection.execute(statement).scalar_one())
