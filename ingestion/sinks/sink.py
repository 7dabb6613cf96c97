"""What the API and the importer need of a sink. Tests provide another one; so could a different broker."""

from collections.abc import Awaitable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from ingestion.sinks.records import OutgoingRecord


@dataclass(frozen=True)
class Outcome:
    """What became of the records of one call: all acknowledged but those in `failed` (position → the broker's words)."""

    failed: dict[int, str] = field(default_factory=dict)


class EventSink(Protocol):
    """Takes records and says, once for all of them, which were acknowledged by all in-sync replicas."""

    def submit(self, records: Sequence[OutgoingRecord]) -> "Future[Outcome]":
        """Queues the records in order. Raises: SinkUnavailableError when nothing was queued."""
        ...

    def publish(self, records: Sequence[OutgoingRecord]) -> Awaitable[Outcome]:
        """As `submit`, awaited for at most the sink's time limit. Raises: SinkUnavailableError."""
        ...

    def check(self, timeout_seconds: float) -> None:
        """Returns when the sink can take records right now. Raises: SinkUnavailableError."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Waits for what is queued, then lets go of the sink."""
        ...
