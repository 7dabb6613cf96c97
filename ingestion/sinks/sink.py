"""What the API and the importer need of a sink. Tests provide another one; so could a different broker."""

from collections.abc import Awaitable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from ingestion.sinks.records import OutgoingRecord


@dataclass(frozen=True)
class Outcome:
    """What became of the records of one call: all acknowledged but those in `failed` (position → the broker's words)."""

    failed: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Records to produce, in order. They may be made while they are taken: then each is gone before the next one is made."""

    records: Iterable[OutgoingRecord]
    count: int
    """At most."""
    size_bytes: int
    """Of the values, at most."""

    @classmethod
    def of(cls, records: Sequence[OutgoingRecord]) -> "Batch":
        """A batch of records that are there."""
        return cls(records, len(records), sum(len(record.value) for record in records))


class EventSink(Protocol):
    """Takes records and says, once for all of them, which were acknowledged by all in-sync replicas."""

    def submit(self, batch: Batch) -> "Future[Outcome]":
        """Queues the records in order. Raises: SinkUnavailableError when nothing was queued, nor any record taken from the batch."""
        ...

    def publish(self, batch: Batch) -> Awaitable[Outcome]:
        """As `submit`: queued when this returns. Awaiting the answer takes at most the sink's time limit and raises
        SinkUnavailableError after it."""
        ...

    def check(self, timeout_seconds: float) -> None:
        """Returns when the sink can take records right now. Raises: SinkUnavailableError."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Waits for what is queued, then lets go of the sink."""
        ...
