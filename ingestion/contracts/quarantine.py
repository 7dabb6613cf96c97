"""A quarantined record and its name, as everything that shows or recovers one passes it on. No reading, no judging.

A record is named by its Kafka coordinates: many have no event id, and one id may be there many times.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

_NAMESPACE = uuid5(NAMESPACE_URL, "tidemark:redrive")


class CoordinatesError(ValueError):
    """The text names no Kafka record."""


class Coordinates(NamedTuple):
    """Where a record lies in Kafka, for ever."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> "Coordinates":
        """Of `topic/partition/offset`. Raises: CoordinatesError."""
        topic, *numbers = text.strip().rsplit("/", 2)
        if not topic or len(numbers) != 2 or not all(part.isascii() and part.isdigit() for part in numbers):
            raise CoordinatesError(f"expected topic/partition/offset, found {text[:100]!r}")
        return cls(topic, int(numbers[0]), int(numbers[1]))

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def derived_event_id(self) -> str:
        """The event id of what is recovered from this record when it has none: the same every time."""
        return str(uuid5(_NAMESPACE, str(self)))


@dataclass(frozen=True)
class QuarantinedRecord:
    """One quarantined record with its bytes. `received_at` is the edge's stamp, or the broker's where the edge left none.

    `event_id`, `event_type` and `contract` are its stamps, as far as it has any. `redriven_as`: the published record that recovers it.
    """

    coordinates: Coordinates
    app_id: str
    stage: str
    reason: str
    received_at: datetime
    value: bytes
    event_id: str | None = None
    event_type: str | None = None
    contract: str | None = None
    redriven_as: Coordinates | None = None
