"""Dead letters of the consumers: a pointer to the record that could not be handled, with its bytes, and what happened to it.

The event itself is in the raw topic and in bronze: a pointer counts nowhere. The same record may be pointed to twice, when a worker died
between the letter's acknowledgement and its commit: readers know it by its coordinates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ingestion.contracts import headers
from ingestion.contracts.clocks import format_utc
from ingestion.contracts.reasons import Reason
from ingestion.contracts.topics import MAX_RECORD_SIZE_BYTES, MAX_VALUE_SIZE_BYTES
from streaming.hot_store.records import Headers, Record

MAX_MESSAGE_CHARACTERS = 500
# Of a record that is larger than what fits beside our own headers, this much is kept: the rest is where the pointer points.
CUT_VALUE_BYTES = 1024 * 1024
ACKNOWLEDGEMENT_SECONDS = 5.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class DeadLetter:
    """A record that is not handled, and why. Messages name no payload."""

    record: Record
    reason: Reason
    error: str
    message: str
    at: datetime


class DeadLetterError(Exception):
    """The broker did not acknowledge every letter: offsets must not pass their records."""


class DeadLetters(Protocol):
    """Where letters go."""

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Returns when all are acknowledged. Raises: DeadLetterError."""
        ...

    def close(self) -> None:
        """Lets go of the broker. Idempotent."""
        ...


class KafkaDeadLetters:
    """Letters on the dead-letter topic; a producer is made for the first one.

    confluent-kafka, because kafka-python's producer knows no headers without a value, and records that have them are to be pointed to.
    """

    def __init__(self, bootstrap_servers: str, topic: str, group: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._group = group
        self._producer: Producer | None = None

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """See DeadLetters."""
        failures: list[str] = []
        acknowledged: list[None] = []

        def report(error: KafkaError | None, _message: Message) -> None:
            if error is None:
                acknowledged.append(None)
            else:
                failures.append(error.str())

        producer = self._connected()
        try:
            for letter in letters:
                producer.produce(
                    self._topic,
                    _value(letter),
                    letter.record.key,
                    headers=letter_headers(letter, self._group),
                    on_delivery=report,
                )
                producer.poll(0)
            producer.flush(ACKNOWLEDGEMENT_SECONDS + 1)
        except (BufferError, KafkaException) as error:
            failures.append(str(error))
        if len(acknowledged) < len(letters):
            self.close()
            what = failures[0] if failures else "no acknowledgement in time"
            raise DeadLetterError(f"{self._topic} took {len(acknowledged)} of {len(letters)} letters: {what}")
        for letter in letters:
            log.warning(
                "a record became a dead letter",
                topic=letter.record.topic,
                partition=letter.record.partition,
                offset=letter.record.offset,
                reason=letter.reason.value,
                error=letter.error,
            )

    def close(self) -> None:
        """See DeadLetters. What is not acknowledged by now is forgotten: its offsets are not committed."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()

    def _connected(self) -> Producer:
        if self._producer is None:
            self._producer = Producer(
                {
                    "bootstrap.servers": self._bootstrap_servers,
                    "client.id": "tidemark-hot-store",
                    "acks": "all",
                    "enable.idempotence": True,
                    "partitioner": "murmur2_random",  # as the sink of the API
                    "message.timeout.ms": int(ACKNOWLEDGEMENT_SECONDS * 1000),
                    "message.max.bytes": MAX_RECORD_SIZE_BYTES,
                    "log.connection.close": False,
                    "log_level": 2,
                },
                logger=None,
            )
        return self._producer


def letter_headers(letter: DeadLetter, group: str) -> list[tuple[str, str | bytes | None]]:
    """Ours first, because the first of a name counts; then the record's own, as far as they fit."""
    record = letter.record
    own: Headers = (
        (headers.DEAD_LETTER_STAGE, headers.CONSUMER_STAGE),
        (headers.DEAD_LETTER_REASON, letter.reason.value.encode()),
        (headers.DEAD_LETTER_OF_TOPIC, record.topic.encode()),
        (headers.DEAD_LETTER_PARTITION, str(record.partition).encode()),
        (headers.DEAD_LETTER_OFFSET, str(record.offset).encode()),
        (headers.DEAD_LETTER_GROUP, group.encode()),
        (headers.DEAD_LETTER_ERROR, letter.error.encode()),
        (headers.DEAD_LETTER_MESSAGE, letter.message[:MAX_MESSAGE_CHARACTERS].encode()),
        (headers.DEAD_LETTER_AT, format_utc(letter.at).encode()),
    )
    left = MAX_VALUE_SIZE_BYTES - len(_value(letter) or b"") - len(record.key or b"")
    copied = record.headers if _size(record.headers) <= left else ()
    return [*own, *copied]


def _value(letter: DeadLetter) -> bytes | None:
    value = letter.record.value
    is_cut = value is not None and len(value) > MAX_VALUE_SIZE_BYTES - len(letter.record.key or b"")
    return value[:CUT_VALUE_BYTES] if value is not None and is_cut else value


def _size(found: Headers) -> int:
    return sum(len(name.encode()) + len(value or b"") + 10 for name, value in found)
