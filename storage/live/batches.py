"""Writes the batches of the live windows' query, each in one transaction and each once.

A cell comes with its whole value so far, never with a difference, and a batch that is in the tables already is left alone: a replayed
batch changes nothing. Reading minutes: storage.live.minutes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from storage.live.breakdowns import Breakdown
from storage.live.state import read_state
from storage.live.tables import hours, left_out, minutes, queries

ROWS_PER_STATEMENT = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)


class BatchOrderError(Exception):
    """A batch does not go on where the tables end: they are another checkpoint's."""


@dataclass(frozen=True)
class Cell:
    """One minute of one app in one breakdown: its whole value so far."""

    minute: datetime
    app_id: str
    breakdown: str
    keys: list[str]
    event_count: int
    success_count: int
    failed_count: int
    cancelled_count: int
    size_mb: Decimal | None
    duration_seconds: Decimal | None
    speed_mbps: Decimal | None
    title: str | None
    users_sketch: bytes


@dataclass(frozen=True)
class Batch:
    """Which batch it is, how far it reads (one past the last record, per topic and partition), and Spark's watermark in it."""

    query: str
    query_id: str
    batch_id: int
    offsets: Mapping[str, Mapping[int, int]]
    watermark_at: datetime | None


def apply_batch(engine: Engine, batch: Batch, cells: Sequence[Cell]) -> bool:
    """Writes cells and place together. False, and nothing written, when the batch is in the tables already.

    Raises: BatchOrderError.
    """
    with engine.begin() as connection:
        state = read_state(connection, batch.query, lock=True)
        last = -1 if state.last_batch is None else state.last_batch
        if state.query_id not in (None, batch.query_id) or batch.batch_id > last + 1:
            raise BatchOrderError(
                f"batch {batch.batch_id} of query {batch.query_id} came, the tables go on at {last + 1} of {state.query_id}"
            )
        if batch.batch_id <= last:
            return False
        first = state.counted_from or _EPOCH
        _write_minutes(
            connection, batch, [cell for cell in cells if cell.breakdown != Breakdown.LEFT_OUT and cell.minute >= first]
        )
        _write_left_out(connection, batch, [cell for cell in cells if cell.breakdown == Breakdown.LEFT_OUT])
        connection.execute(
            sa.update(queries)
            .where(queries.c.name == batch.query)
            .values(
                query_id=batch.query_id,
                last_batch=batch.batch_id,
                offsets=_offsets_json(batch.offsets),
                watermark_at=batch.watermark_at,
                updated_at=sa.func.clock_timestamp(),
            )
        )
        if batch.watermark_at is not None:
            _close(connection, batch.query, batch.watermark_at)
    return True


def close_before(engine: Engine, query: str, moment: datetime) -> None:
    """Closes the minutes that end at `moment` or before it: said by a query that has read all there is. Never opens one again."""
    with engine.begin() as connection:
        _close(connection, query, moment)


def _close(connection: Connection, query: str, moment: datetime) -> None:
    """Moves `closed_before` on, and notes for every hour that this closes how far the query was."""
    state = read_state(connection, query, lock=True)
    before = state.closed_before
    after = moment.replace(second=0, microsecond=0)
    if before is not None and after <= before:
        return
    connection.execute(sa.update(queries).where(queries.c.name == query).values(closed_before=after))
    found = _closed_hours(connection, before, after)
    if found:
        offsets = connection.execute(sa.select(queries.c.offsets).where(queries.c.name == query)).scalar_one()
        rows = [{"hour": hour, "closed_at": datetime.now(UTC), "offsets": offsets} for hour in found]
        statement = insert(hours).values(rows)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[hours.c.hour],
                set_={"closed_at": statement.excluded.closed_at, "offsets": statement.excluded.offsets},
                where=hours.c.closed_at.is_(None),
            )
        )


def _closed_hours(connection: Connection, before: datetime | None, after: datetime) -> list[datetime]:
    """The hours that end between the two. Those without a minute too: that gold has none either is to be compared like all else."""
    if before is None:
        first = connection.execute(
            sa.select(sa.func.date_trunc("hour", minutes.c.minute, "UTC").distinct().label("hour")).where(
                minutes.c.minute < _floor_hour(after)
            )
        )
        return [row.hour for row in first]
    first_hour, end = _floor_hour(before.astimezone(UTC)), _floor_hour(after)
    return [first_hour + n * _HOUR for n in range(int((end - first_hour) / _HOUR))]


def _write_minutes(connection: Connection, batch: Batch, cells: Sequence[Cell]) -> None:
    rows = [{**asdict(cell), "batch_id": batch.batch_id} for cell in cells]
    for some in _chunks(rows):
        statement = insert(minutes).values(some)
        key = list(minutes.primary_key.columns)
        values = {column.name: statement.excluded[column.name] for column in minutes.columns if not column.primary_key}
        connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values))


def _write_left_out(connection: Connection, batch: Batch, cells: Sequence[Cell]) -> None:
    for some in _chunks([_ledger_row(cell, batch.batch_id) for cell in cells]):
        connection.execute(insert(left_out).values(some).on_conflict_do_nothing())


def _ledger_row(cell: Cell, batch_id: int) -> dict[str, Any]:
    reason, topic, partition, offset, occurred, received, event_id, family, event_type = cell.keys
    return {
        "kafka_topic": topic,
        "kafka_partition": int(partition),
        "kafka_offset": int(offset),
        "reason": reason,
        "app_id": cell.app_id,
        "event_id": event_id,
        "family": family,
        "event_type": event_type,
        "occurred_at": _EPOCH + timedelta(microseconds=int(occurred)),
        "received_at": _EPOCH + timedelta(microseconds=int(received)),
        "batch_id": batch_id,
    }


def _chunks(rows: Sequence[dict[str, Any]]) -> Iterable[Sequence[dict[str, Any]]]:
    return (rows[start : start + ROWS_PER_STATEMENT] for start in range(0, len(rows), ROWS_PER_STATEMENT))


def _floor_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _offsets_json(offsets: Mapping[str, Mapping[int, int]]) -> dict[str, dict[str, int]]:
    return {topic: {str(partition): end for partition, end in of.items()} for topic, of in offsets.items()}
