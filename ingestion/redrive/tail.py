"""What the topic of live events holds behind an offset: how a redrive finds what a killed one produced without noting it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ingestion.contracts import headers
from ingestion.contracts.quarantine import Coordinates, CoordinatesError
from ingestion.redrive.errors import RedriveStoppedError
from storage.control.redrives import Offsets

_TIMEOUT_SECONDS = 10.0
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
        return {partition: end for partition, (_, end) in self._ranges(topic).items()}

    def redriven_since(self, topic: str, starts: Offsets) -> Iterator[Found]:
        """See TopicTail. Offsets that Kafka has let go of are passed over: what lay there has landed and is published."""
        left: Offsets = {}
        missing = 0
        places = []
        for partition, (first, end) in self._ranges(topic).items():
            start = max(first, starts.get(partition, 0))
            if start < end:
                left[partition] = end
                missing += end - start
                places.append(TopicPartition(topic, partition, start))
        consumer = self._consumer()
        try:
            consumer.assign(places)
            while left:
                # No more than there are: for what does not come it would wait until the time is over.
                messages = consumer.consume(min(_BATCH_RECORDS, max(1, missing)), timeout=_TIMEOUT_SECONDS)
                if not messages:
                    raise RedriveStoppedError(f"Kafka gives no record of {topic}; start the redrive again")
                for message in messages:
                    number, offset = message.partition(), message.offset()
                    if message.error() is not None or number is None or offset is None:
                        raise RedriveStoppedError(f"Kafka: {message.error()}; start the redrive again")
                    found = _found(message.headers() or ())
                    if found is not None:
                        yield found
                    missing -= offset < left.get(number, 0)
                    if offset + 1 >= left.get(number, 0):
                        left.pop(number, None)
        finally:
            consumer.close()

    def _ranges(self, topic: str) -> dict[int, tuple[int, int]]:
        consumer = self._consumer()
        try:
            partitions = consumer.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics[topic].partitions
            return {
                number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_TIMEOUT_SECONDS)
                for number in partitions
            }
        except KafkaException as error:
            raise RedriveStoppedError(f"Kafka does not answer: {error.args[0].str()}; see `tidemark status`") from None
        finally:
            consumer.close()

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._bootstrap_servers,
                "group.id": "tidemark-redrive",
                "enable.auto.commit": False,
                "log_level": 2,
            },
            logger=None,
        )


def _found(stamps: Iterable[Any]) -> Found | None:
    named: dict[str, bytes | None] = dict(stamps)
    origin, event_id = named.get(headers.REDRIVE_OF), named.get(headers.EVENT_ID)
    if origin is None:
        return None
    try:
        return Found(Coordinates.parse(origin.decode()), event_id.decode() if event_id else None)
    except (CoordinatesError, UnicodeDecodeError):
        return None
