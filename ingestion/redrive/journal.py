"""What a redrive notes, and what it asks of earlier ones: PostgreSQL, or memory for dry runs and tests."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import Engine

from ingestion.contracts.quarantine import Coordinates
from ingestion.redrive.errors import RedriveStoppedError
from storage.control import acknowledged, redrives
from storage.control.acknowledged import Count
from storage.control.redrives import Offsets, Outcome, Unfinished


@dataclass(frozen=True)
class Request:
    """One call of a redrive."""

    request_id: str
    selection: Mapping[str, Any]
    fix_fingerprint: str | None
    topic: str


class Journal(Protocol):
    """Every call may raise RedriveStoppedError."""

    def redriven(self) -> set[Coordinates]:
        """Records that were redriven, by whatever request."""
        ...

    def unfinished(self) -> list[Unfinished]:
        """Requests whose process died."""
        ...

    def begin(self, request: Request, starting_offsets: Offsets) -> None:
        """Notes the request, before anything of it is produced."""
        ...

    def note(self, request_id: str, outcomes: Sequence[Outcome], counts: Sequence[Count]) -> None:
        """Notes outcomes, then counts the produced events in the ledger of acknowledgements: short after a kill, never too high."""
        ...

    def finish(self, request_id: str, counts: Mapping[str, Any], *, is_complete: bool) -> None:
        """Closes the request."""
        ...


class PostgresJournal:
    """The control tables."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def redriven(self) -> set[Coordinates]:
        """See Journal."""
        with _as_stopped():
            return set(redrives.redriven(self._engine))

    def unfinished(self) -> list[Unfinished]:
        """See Journal."""
        with _as_stopped():
            return redrives.unfinished(self._engine)

    def begin(self, request: Request, starting_offsets: Offsets) -> None:
        """See Journal."""
        with _as_stopped():
            redrives.begin(
                self._engine,
                request.request_id,
                request.selection,
                request.fix_fingerprint,
                request.topic,
                starting_offsets,
            )

    def note(self, request_id: str, outcomes: Sequence[Outcome], counts: Sequence[Count]) -> None:
        """See Journal."""
        with _as_stopped():
            redrives.note(self._engine, request_id, outcomes)
            acknowledged.add(self._engine, counts)

    def finish(self, request_id: str, counts: Mapping[str, Any], *, is_complete: bool) -> None:
        """See Journal."""
        with _as_stopped():
            redrives.finish(self._engine, request_id, counts, is_complete=is_complete)


@contextmanager
def _as_stopped() -> Iterator[None]:
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        message = f"the database does not answer ({type(error).__name__}); start the redrive again"
        raise RedriveStoppedError(message) from error


@dataclass
class MemoryJournal:
    """Forgets when the process ends."""

    outcomes: list[Outcome] = field(default_factory=list)
    requests: dict[str, Unfinished] = field(default_factory=dict)
    counted: list[Count] = field(default_factory=list)
    finished: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def redriven(self) -> set[Coordinates]:
        """See Journal."""
        return {item.coordinates for item in self.outcomes if item.kind == "redriven"}

    def unfinished(self) -> list[Unfinished]:
        """See Journal."""
        return [item for name, item in self.requests.items() if name not in self.finished]

    def begin(self, request: Request, starting_offsets: Offsets) -> None:
        """See Journal."""
        self.requests[request.request_id] = Unfinished(request.request_id, request.topic, starting_offsets)

    def note(self, request_id: str, outcomes: Sequence[Outcome], counts: Sequence[Count]) -> None:  # noqa: ARG002 - the protocol's signature
        """See Journal."""
        known = self.redriven()
        self.outcomes += [item for item in outcomes if item.kind != "redriven" or item.coordinates not in known]
        self.counted += counts

    def finish(self, request_id: str, counts: Mapping[str, Any], *, is_complete: bool) -> None:
        """See Journal."""
        self.finished[request_id] = {**counts, "is_complete": is_complete}
