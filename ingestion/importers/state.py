"""How far an import came: kept per content of the file, mapping and app, so that a restart goes on where the last one stopped."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert

from ingestion.importers.errors import ImportRunningError
from ingestion.importers.mapping import ImportMapping
from storage.control import acknowledged
from storage.control.tables import imports

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ImportState:
    """Rows acknowledged in order, and what became of them."""

    row_number: int = 0
    accepted: int = 0
    rejected: int = 0
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    is_finished: bool = False


@dataclass(frozen=True)
class AcknowledgedRows:
    """Rows of one UTC hour of received_at, acknowledged since the last save: counts for the acknowledgement ledger."""

    app_id: str
    received_hour: datetime
    accepted: int
    rejected: int


class ImportStore(Protocol):
    """Keeps the state of one import."""

    def load(self) -> ImportState: ...

    def save(self, state: ImportState, rows: Sequence[AcknowledgedRows]) -> None:
        """Keeps the state, then counts the rows in the acknowledgement ledger: short after a kill, never too high."""
        ...


class MemoryStore:
    """Forgets when the process ends: dry runs and tests."""

    def __init__(self, state: ImportState | None = None) -> None:
        self.state = state or ImportState()

    def load(self) -> ImportState:
        """See ImportStore."""
        return self.state

    def save(self, state: ImportState, rows: Sequence[AcknowledgedRows]) -> None:  # noqa: ARG002 - the protocol's signature
        """See ImportStore."""
        self.state = state


class PostgresStore:
    """State in `control.imports`, counts in `control.acknowledged`."""

    def __init__(self, engine: Engine, import_id: str, path_name: str, topic: str, dead_letter_topic: str) -> None:
        self._engine = engine
        self._import_id = import_id
        self._path_name = path_name
        self._topic = topic
        self._dead_letter_topic = dead_letter_topic

    def load(self) -> ImportState:
        """See ImportStore."""
        statement = sa.select(imports).where(imports.c.import_id == self._import_id)
        with self._engine.connect() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            return ImportState()
        return ImportState(
            row.row_number, row.accepted, row.rejected, dict(row.rejected_by_reason), row.finished_at is not None
        )

    def save(self, state: ImportState, rows: Sequence[AcknowledgedRows]) -> None:
        """See ImportStore."""
        now = datetime.now(UTC)
        values = {
            "path_name": self._path_name,
            "row_number": state.row_number,
            "accepted": state.accepted,
            "rejected": state.rejected,
            "rejected_by_reason": state.rejected_by_reason,
            "finished_at": now if state.is_finished else None,
            "updated_at": now,
        }
        statement = insert(imports).values(import_id=self._import_id, **values)
        with self._engine.begin() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=[imports.c.import_id], set_=values))
        counts = [(part.app_id, part.received_hour, self._topic, part.accepted) for part in rows]
        counts += [(part.app_id, part.received_hour, self._dead_letter_topic, part.rejected) for part in rows]
        acknowledged.add(self._engine, [count for count in counts if count[3]])


def fingerprint(path: Path, mapping: ImportMapping, app_id: str, progress: Callable[[int], None]) -> str:
    """The import's identity: the file's bytes, not its name; what the mapping means; the app. Reads the whole file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            progress(file.tell())
    digest.update(mapping.fingerprint.encode() + app_id.encode())
    return digest.hexdigest()


@contextmanager
def only_importer(engine: Engine, import_id: str) -> Iterator[None]:
    """Holds the import for this process; PostgreSQL lets go of it when the process dies. Raises: ImportRunningError."""
    lock_id = int(import_id[:15], 16)
    with engine.connect() as connection:
        if not connection.execute(sa.select(sa.func.pg_try_advisory_lock(lock_id))).scalar():
            raise ImportRunningError("the same import is running already; it can be watched with `tidemark status`")
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(lock_id)))
