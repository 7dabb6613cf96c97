"""What the topic of live events holds behind an offset: how a redrive finds what a killed one produced without noting it.

Read by kafka-python: confluent-kafka 2.16 crashes at a header whose name is not UTF-8, which any producer may send.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from kafka.errors import KafkaError

from ingestion.contracts import headers
from ingestion.contracts.quarantine import Coordinates, CoordinatesError
from ingestion.redrive.errors import RedriveStoppedError
from runtime.kafka_clients import Consumer
from storage.control.redrives import Offsets

_TIMEOUT_MILLISECONDS = 10_000
_BATCH_RECORDS = 10_000


@dataclass(frozen=True)
class Found:
    """A record that recovers another one."""

    origin: Coordinates
    event_id: str | None


class TopicTail(Protocol):
    """A topic's newest part. Every call may raise RedriveStoppedError."""

    def ends(self, topic: str) -> Offsets:
        """One past the last record, by partition."""
        ...

    def redriven_since(self, topic: str, starts: Offsets) -> Iterator[Found]:
        """The recovering records from these offsets to the end as it is now."""
        ...


class MemoryTail:
    """A tail without a broker: dry runs have nothing to find, tests plant it."""

    def __init__(self, found: tuple[Found, ...] = ()) -> None:
        self.found = found

    def ends(self, topic: str) -> Offsets:  # noqa: ARG002 - the protocol's signature
        """See TopicTail."""
        return {0: 0}

    def redriven_since(self, topic: str, starts: Offsets) -> Iterator[Found]:  # noqa: ARG002 - the protocol's signature
        """See TopicTail."""
        yield from self.found


class KafkaTail:
    """A broker's. Joins no group and commits nothing."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers

    def ends(self, topic: str) -> Offsets:
        """See TopicTail."""
        with self._reading() as consumer:
            return {place.partition: end for place, end in consumer.end_offsets(consumer.places(topic)).items()}

    def redriven_since(self, topic: str, starts: Offsets) -> Iterator[Found]:
        """See TopicTail. Offsets that Kafka has let go of are passed over: what lay there has landed and is published."""
        with self._reading() as consumer:
            places = consumer.places(topic)
            left = dict(consumer.end_offsets(places))
            consumer.assign(places)
            for place, first in consumer.beginning_offsets(places).items():
                consumer.seek(place, max(first, starts.get(place.partition, 0)))
            while left := {place: end for place, end in left.items() if consumer.position(place) < end}:
                polled = consumer.poll(timeout_ms=_TIMEOUT_MILLISECONDS, max_records=_BATCH_RECORDS)
                if not polled:
                    raise RedriveStoppedError(f"Kafka gives no record of {topic}; start the redrive again")
                for records in polled.values():
                    yield from (found for record in records if (found := _found(record.headers)) is not None)

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        """A consumer, which has no types."""
        try:
            consumer = Consumer(
                bootstrap_servers=self._bootstrap_servers.split(","),
                enable_auto_commit=False,
                bootstrap_timeout_ms=_TIMEOUT_MILLISECONDS,
            )
            try:
                yield consumer
            finally:
                consumer.close()
        except KafkaError as error:
            raise RedriveStoppedError(f"Kafka does not answer: {error}; see `tidemark status`") from error


def _found(stamps: Iterable[Any]) -> Found | None:
    named: dict[str, bytes | None] = dict(stamps)
    origin, event_id = named.get(headers.REDRIVE_OF), named.get(headers.EVENT_ID)
    if origin is None:
        return None
    try:
        return Found(Coordinates.parse(origin.decode()), event_id.decode() if event_id else None)
    except (CoordinatesError, UnicodeDecodeError):
        return None
