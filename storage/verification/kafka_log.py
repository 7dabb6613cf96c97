"""What Kafka itself holds: the offsets of our topics, and their records.

Reads only; joins no consumer group and commits no offset, so it never disturbs a consumer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from storage.verification.errors import ServiceUnreachableError

Place = tuple[str, int]
"""Topic and partition."""

CONNECT_TIMEOUT_SECONDS = 10
IDLE_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class OffsetRange:
    """Offsets [start, end) that a topic partition holds."""

    start: int
    end: int


@dataclass(frozen=True)
class Record:
    """One record, and the stamps in its headers. A stamp is None when its header is absent or not to be understood."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_milliseconds: int
    """When the broker appended it, by the broker's clock."""

    @property
    def app_id(self) -> str | None:
        """Who sent it."""
        return self._text("ce_source")

    @property
    def event_id(self) -> str | None:
        """The event's id within its app."""
        return self._text("ce_id")

    @property
    def received_at(self) -> datetime | None:
        """When the ingestion API took it in."""
        return _timestamp(self._text("ce_receivedat"))

    def _text(self, name: str) -> str | None:
        value = next((value for key, value in self.headers if key == name), None)
        return None if value is None else value.decode("utf-8", errors="replace")


class KafkaLog(Protocol):
    """What the checker asks of Kafka; tests provide a fake."""

    def offset_ranges(self) -> dict[Place, OffsetRange]:
        """The offsets held per topic and partition. A topic that does not exist has no entry."""

    def read(self, ranges: Mapping[Place, OffsetRange]) -> Iterator[Record]:
        """The records of these offsets, in offset order per partition."""


class BrokerLog:
    """The log of a running broker."""

    def __init__(self, bootstrap_servers: str, topics: tuple[str, ...]) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics

    def offset_ranges(self) -> dict[Place, OffsetRange]:
        """Log start and end of every partition.

        Raises:
            ServiceUnreachableError: no broker answers.
        """
        from kafka.errors import KafkaError

        try:
            consumer = self._consumer()
        except KafkaError as error:
            raise ServiceUnreachableError("Kafka", self._bootstrap_servers, type(error).__name__) from error
        try:
            known = consumer.topics()
            places = consumer.places(*(topic for topic in self._topics if topic in known))
            starts = consumer.beginning_offsets(places) if places else {}
            ends = consumer.end_offsets(places) if places else {}
        except KafkaError as error:
            raise ServiceUnreachableError("Kafka", self._bootstrap_servers, type(error).__name__) from error
        finally:
            consumer.close()
        return {(place.topic, place.partition): OffsetRange(starts[place], ends[place]) for place in places}

    def read(self, ranges: Mapping[Place, OffsetRange]) -> Iterator[Record]:
        """Reads the records once, from each range's start to its end.

        Raises:
            ServiceUnreachableError: the broker stops answering before the ranges are read.
        """
        from kafka import TopicPartition

        open_ranges = {place: wanted for place, wanted in ranges.items() if wanted.start < wanted.end}
        if not open_ranges:
            return
        consumer = self._consumer()
        try:
            consumer.assign([TopicPartition(*place) for place in open_ranges])
            for place, wanted in open_ranges.items():
                consumer.seek(TopicPartition(*place), wanted.start)
            while open_ranges:
                polled = consumer.poll(timeout_ms=IDLE_TIMEOUT_SECONDS * 1000)
                if not polled:
                    raise ServiceUnreachableError("Kafka", self._bootstrap_servers, "no record within the timeout")
                for place, records in polled.items():
                    yield from self._wanted(open_ranges, (place.topic, place.partition), records)
        finally:
            consumer.close()

    def _wanted(self, open_ranges: dict[Place, OffsetRange], place: Place, records: list[Any]) -> Iterator[Record]:
        for record in records:
            wanted = open_ranges.get(place)
            if wanted is None:
                return
            offset: int = record.offset
            if offset < wanted.end:
                yield Record(*place, offset, record.key, record.value, tuple(record.headers), record.timestamp)
            if offset >= wanted.end - 1:
                del open_ranges[place]

    def _consumer(self) -> Any:  # kafka-python has no types
        from runtime.kafka_clients import Consumer

        return Consumer(
            bootstrap_servers=self._bootstrap_servers.split(","),
            enable_auto_commit=False,
            auto_offset_reset="none",
            bootstrap_timeout_ms=CONNECT_TIMEOUT_SECONDS * 1000,
            request_timeout_ms=IDLE_TIMEOUT_SECONDS * 1000,
        )


def _timestamp(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
