"""kafka-python's clients, which leave nothing running when they cannot start, read every record, and finish what they join.

A constructor of kafka-python 3.0.12 starts a thread and looks for the broker. One that does not find it raises, and leaves the thread
and some five descriptors behind for good: whoever asks again and again while the broker is away runs out of them.

It also ends with UnicodeDecodeError at a record whose header has a name that is not UTF-8, which Kafka and other clients take: nobody in
its consumer group would get past that record until it expired. Such a name is read with U+FFFD for what is wrong, as Spark does.

And it forgets a join that outlasts one `poll` when what made it join again was news about the topic, as it is at most first starts: the
broker then holds this member for the owner of its partitions until the session is over, and the member has none and asks for none, for
good. Here a join that began is one that is needed until it is complete, as in Kafka's own client.
"""

from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.record.default_records import DefaultRecordBatch


class _Lenient(bytearray):
    """Bytes whose parts decode whatever they hold."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _Lenient(found) if isinstance(index, slice) else found

    def decode(self, encoding: str = "utf-8", _errors: str = "strict") -> str:
        """With U+FFFD for what is wrong, whatever the caller asks for."""
        return super().decode(encoding, "replace")


_read_strictly: Any = DefaultRecordBatch._read_msg


def _read_any(batch: Any) -> Any:
    """The next record of a batch, as kafka-python reads it; only one that it cannot read is read again."""
    buffer, position = batch._buffer, batch._pos
    try:
        return _read_strictly(batch)
    except UnicodeDecodeError:
        batch._buffer, batch._pos = _Lenient(buffer), position
        try:
            return _read_strictly(batch)
        finally:
            batch._buffer = buffer


DefaultRecordBatch._read_msg = _read_any

_needs_join: Any = ConsumerCoordinator.need_rejoin
ConsumerCoordinator.need_rejoin = lambda coordinator: coordinator.rejoining or _needs_join(coordinator)


class _EndsWhatItStarted:
    """A client whose constructor raises KafkaError when the broker is not found in time, and then leaves nothing of itself."""

    def __init__(self, **config: Any) -> None:
        try:
            super().__init__(**config)
        except BaseException:
            # Their own close() expects what the constructor sets last.
            connections: Any = getattr(self, "_client", None)
            if connections is not None:
                connections.close()
            raise


class Consumer(_EndsWhatItStarted, KafkaConsumer):  # type: ignore[misc]  # kafka-python is not typed
    """KafkaConsumer."""

    def places(self, *topics: str) -> list[TopicPartition]:
        """Every partition of these topics, in order; a topic that is not there has none. Asks the broker where it must."""
        return [
            TopicPartition(topic, number)
            for topic in topics
            for number in sorted(self.partitions_for_topic(topic) or ())
        ]


class AdminClient(_EndsWhatItStarted, KafkaAdminClient):  # type: ignore[misc]  # kafka-python is not typed
    """KafkaAdminClient."""
