"""Reads everything that a broker holds."""

from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition


@dataclass(frozen=True)
class Landed:
    """One record."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: dict[str, str]


def read_all(bootstrap: str, topic: str, keep: Callable[[Landed], bool] = lambda _: True) -> list[Landed]:
    """Every record of a topic up to its end now, by partition and offset. The session's broker is shared: `keep` one's own."""
    # confluent-kafka: the producer compresses with lz4, which kafka-python reads only with a package of its own.
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "tests", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        ends = {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1]
            for number in partitions
        }
        left = {number: end for number, end in ends.items() if end}
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in left])
        found: list[Landed] = []
        missing = sum(ends.values())
        while left:
            # For more than there are it would wait until the time is over.
            for message in consumer.consume(min(10_000, max(1, missing)), timeout=1.0):
                assert message.error() is None, message.error()
                number, offset = message.partition(), message.offset()
                missing -= offset < ends[number]
                headers = {name: (value or b"").decode() for name, value in message.headers() or []}
                found.append(Landed(topic, number, offset, message.key(), message.value(), headers))
                if offset + 1 >= ends[number]:
                    left.pop(number, None)
        return sorted(filter(keep, found), key=lambda landed: (landed.partition, landed.offset))
    finally:
        consumer.close()
