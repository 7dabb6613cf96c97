"""What redrives have done: a request, and per quarantined record that it chose what became of it.

A record has at most one outcome `redriven`, over all requests: a unique index sees to it. No payload and no value of a fix is kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert

from ingestion.contracts.quarantine import Coordinates
from storage.control.tables import redrive_outcomes, redrive_requests

Kind = Literal["redriven", "already", "still_bad", "skipped"]
Offsets = dict[int, int]
_LOCK_ID = 0x7EDB1FE
_ROWS_PER_STATEMENT = 1000


class RedriveRunningError(RuntimeError):
    """Another redrive is at work."""


@dataclass(frozen=True)
class Outcome:
    """What became of one quarantined record. `reason`: why it was in quarantine, None where a kill
    came before the note; `remaining_reason`: why it stays; `event_id`: of the event that it became."""

    coordinates: Coordinates
    kind: Kind
    reason: str | None
    remaining_reason: str | None = None
    event_id: str | None = None


@dataclass(frozen=True)
class Unfinished:
    """A request that was never finished: its process died. What it produced lies in `topic` from `starting_offsets` on."""

    request_id: str
    topic: str
    starting_offsets: Offsets


@contextmanager
def only_redrive(engine: Engine) -> Iterator[None]:
    """One redrive at a time, over all machines; PostgreSQL lets go when the process dies. Raises: RedriveRunningError."""
    with engine.connect() as connection:
        if not connection.execute(sa.select(sa.func.pg_try_advisory_lock(_LOCK_ID))).scalar():
            raise RedriveRunningError("another redrive is running; try again when it is done")
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(_LOCK_ID)))


def begin(
    engine: Engine,
    request_id: str,
    selection: Mapping[str, Any],
    fix_fingerprint: str | None,
    topic: str,
    starting_offsets: Offsets,
) -> None:
    """Notes a request before it produces anything."""
    values = {
        "request_id": request_id,
        "selection": dict(selection),
        "fix_fingerprint": fix_fingerprint,
        "topic": topic,
        "starting_offsets": {str(partition): offset for partition, offset in starting_offsets.items()},
    }
    with engine.begin() as connection:
        connection.execute(sa.insert(redrive_requests).values(**values))


def note(engine: Engine, request_id: str, outcomes: Sequence[Outcome]) -> None:
    """Adds outcomes in one transaction. Idempotent: what is there stays."""
    rows = [
        {
            "request_id": request_id,
            "kafka_topic": item.coordinates.topic,
            "kafka_partition": item.coordinates.partition,
            "kafka_offset": item.coordinates.offset,
            "outcome": item.kind,
            "reason": item.reason,
            "remaining_reason": item.remaining_reason,
            "event_id": item.event_id,
        }
        for item in outcomes
    ]
    with engine.begin() as connection:
        for start in range(0, len(rows), _ROWS_PER_STATEMENT):
            statement = insert(redrive_outcomes).values(rows[start : start + _ROWS_PER_STATEMENT])
            connection.execute(statement.on_conflict_do_nothing())


def finish(engine: Engine, request_id: str, counts: Mapping[str, Any], *, is_complete: bool) -> None:
    """Closes a request with its counts; `is_complete` false when it stopped before its end."""
    state = "finished" if is_complete else "stopped"
    values = {"counts": dict(counts), "state": state, "finished_at": sa.func.now()}
    with engine.begin() as connection:
        connection.execute(
            sa.update(redrive_requests).where(redrive_requests.c.request_id == request_id).values(**values)
        )


def unfinished(engine: Engine) -> list[Unfinished]:
    """Requests whose process died, oldest first. Only under `only_redrive`: without it one may be at work."""
    columns = redrive_requests.c
    statement = sa.select(columns.request_id, columns.topic, columns.starting_offsets)
    statement = statement.where(columns.state == "running").order_by(columns.started_at)
    with engine.connect() as connection:
        return [
            Unfinished(row.request_id, row.topic, {int(key): value for key, value in row.starting_offsets.items()})
            for row in connection.execute(statement)
        ]


def redriven(engine: Engine) -> dict[Coordinates, str | None]:
    """Every record that was redriven, with the event id that it got."""
    columns = redrive_outcomes.c
    statement = sa.select(columns.kafka_topic, columns.kafka_partition, columns.kafka_offset, columns.event_id)
    with engine.connect() as connection:
        rows = connection.execute(statement.where(columns.outcome == "redriven")).all()
    return {Coordinates(row.kafka_topic, row.kafka_partition, row.kafka_offset): row.event_id for row in rows}
