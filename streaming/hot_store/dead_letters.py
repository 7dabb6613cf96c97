"""Dead letters of the consumers: a pointer to the record that could not be handled, with its bytes, and what happened to it.

The event itself is in the raw topic and in bronze: a pointer counts nowhere. The same record may be pointed to twice, when a worker died
between the letter's acknowledgement and its commit: readers know it by its coordinates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from kafka import KafkaProducer
from kafka.errors import KafkaError

from ingestion.contracts import headers
from ingestion.contracts.clocks import format_utc
from ingestion.contracts.reasons import Reason
from ingestion.contracts.topics import MAX_RECORD_SIZE_BYTES, MAX_VALUE_SIZE_BYTES
from streaming.hot_store.records import Headers, Record

MAX_MESSAGE_CHARACTERS = 500
# Of a record that is larger than what fits beside our own headers, this much is kept: the rest is where the pointer points.
CUT_VALUE_BYTES = 1024 * 1024
ACKNOWLEDGEMENT_SECONDS = 5.0


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
    """Letters on the dead-letter topic; a producer is made for the first one."""

    def __init__(self, bootstrap_servers: str, topic: str, group: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._group = group
        self._producer: Any = None  # kafka-python has no types

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """See DeadLetters."""
        try:
            producer = self._connected()
            futures = [
                producer.send(
                    self._topic, _value(letter), letter.record.key, headers=letter_headers(letter, self._group)
                )
                for letter in letters
            ]
            for future in futures:
                future.get(timeout=ACKNOWLEDGEMENT_SECONDS)
        except KafkaError as error:
            self.close()
            raise DeadLetterError(
                f"{self._topic} did not take {len(letters)} letters: {type(error).__name__}"
            ) from error

    def close(self) -> None:
        """See DeadLetters."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=1)

    def _connected(self) -> Any:
        if self._producer is None:
            milliseconds = int(ACKNOWLEDGEMENT_SECONDS * 1000)
            self._producer = KafkaProducer(
                bootstrap_servers=self._bootstrap_servers.split(","),
                client_id="tidemark-hot-store",
                acks="all",
                max_request_size=MAX_RECORD_SIZE_BYTES,
                max_block_ms=milliseconds,
                delivery_timeout_ms=milliseconds,
                request_timeout_ms=milliseconds - 1000,
                bootstrap_timeout_ms=milliseconds,
            )
        return self._producer


def letter_headers(letter: DeadLetter, group: str) -> list[tuple[str, bytes | None]]:
    """Ours first, because the first of a name counts; then the record's own, as far as they fit."""
    record = letter.record
    own: Headers = (
        (headers.DEAD_LETTER_STAGE, headers.CONSUMER_STAGE),
        (headers.DEAD_LETTER_REASON, letter.reason.value.encode()),
        (headers.DEAD_LETTER_TOPIC, record.topic.encode()),
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
