"""Where a live query stands, as the tables say: its checkpoint, its newest batch, and what is closed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from storage.control.alerts import resolve_alerts
from storage.control.tables import alerts
from storage.live.hour_alerts import DIFFERS, subject_of
from storage.live.tables import hours, left_out, minutes, queries

WINDOWS_QUERY = "realtime_windows"


@dataclass(frozen=True)
class QueryState:
    """A row of `live.queries`. Without a batch nothing was counted yet."""

    name: str
    generation: int
    plan_version: int | None
    query_id: str | None
    last_batch: int | None
    offsets: dict[str, dict[int, int]]
    topic_ids: dict[str, str]
    counted_from: datetime | None
    watermark_at: datetime | None
    closed_before: datetime | None
    judged_before: datetime | None


def read_state(connection: Connection, name: str, *, lock: bool = False) -> QueryState:
    """The query's state; a first one where there is none."""
    connection.execute(insert(queries).values(name=name, generation=0).on_conflict_do_nothing())
    statement = sa.select(queries).where(queries.c.name == name)
    row = connection.execute(statement.with_for_update() if lock else statement).one()
    return QueryState(
        name=row.name,
        generation=row.generation,
        plan_version=row.plan_version,
        query_id=row.query_id,
        last_batch=row.last_batch,
        offsets={topic: {int(p): int(end) for p, end in of.items()} for topic, of in row.offsets.items()},
        topic_ids=dict(row.topic_ids),
        counted_from=row.counted_from,
        watermark_at=row.watermark_at,
        closed_before=row.closed_before,
        judged_before=row.judged_before,
    )


def open_state(engine: Engine, name: str = WINDOWS_QUERY) -> QueryState:
    """The query's state."""
    with engine.begin() as connection:
        return read_state(connection, name)


def remember_start(engine: Engine, name: str, topic_ids: Mapping[str, str], plan_version: int) -> None:
    """Keeps what the query reads, by the topics' ids, and which plan it is. Idempotent."""
    with engine.begin() as connection:
        connection.execute(
            sa.update(queries)
            .where(queries.c.name == name)
            .values(topic_ids=dict(topic_ids), plan_version=plan_version)
        )


def begin_generation(
    engine: Engine, name: str, generation: int, starts: Mapping[str, Mapping[int, int]], counted_from: datetime
) -> None:
    """Puts a new checkpoint in force. It reads from `starts`; minutes from `counted_from` on are counted anew, others stay. Idempotent.

    What is read again is judged again: its rows leave the ledger, or a record that counts now would still be left out by it. Its cells go
    as well: another version of the query may count under other keys. Hours before are compared no more, which ends their alerts.
    """
    with engine.begin() as connection:
        read_state(connection, name, lock=True)
        connection.execute(
            sa.update(queries)
            .where(queries.c.name == name)
            .values(
                generation=generation,
                plan_version=None,
                query_id=None,
                last_batch=None,
                offsets={topic: {str(p): offset for p, offset in of.items()} for topic, of in starts.items()},
                topic_ids={},
                counted_from=counted_from,
                closed_before=sa.func.least(queries.c.closed_before, counted_from),
            )
        )
        connection.execute(sa.update(hours).where(hours.c.hour >= counted_from).values(closed_at=None, removed_at=None))
        connection.execute(sa.delete(minutes).where(minutes.c.minute >= counted_from))
        resolve_alerts(connection, DIFFERS, alerts.c.subject < subject_of(counted_from))
        stays = [
            (left_out.c.kafka_topic == topic)
            & (left_out.c.kafka_partition == partition)
            & (left_out.c.kafka_offset < offset)
            for topic, of in starts.items()
            for partition, offset in of.items()
        ]
        connection.execute(sa.delete(left_out).where(~sa.or_(sa.false(), *stays)))
