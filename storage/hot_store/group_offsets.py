"""How far a consumer group has come on the live topic, asked from outside: joins no group, commits nothing."""

from dataclasses import dataclass
from typing import Any

from ingestion.contracts.topics import TopicNames

TIMEOUT_MILLISECONDS = 10_000
DEFAULT_TOPICS = TopicNames()


@dataclass(frozen=True)
class GroupOffsets:
    """A group at a broker, on the topics that it reads and writes. Every method raises KafkaError when the broker does not answer."""

    bootstrap_servers: str
    name: str
    topics: TopicNames = DEFAULT_TOPICS

    @property
    def live_topic(self) -> str:
        """What the group reads."""
        return self.topics.live

    @property
    def dead_letter_topic(self) -> str:
        """Where it writes what it cannot handle."""
        return self.topics.dead_letters

    def committed(self) -> dict[int, int]:
        """Partition of the live topic → the offset at which the group goes on; partitions it never committed are left out."""
        consumer = self._consumer()
        try:
            places = consumer.places(self.live_topic)
            found = {place.partition: consumer.committed(place, timeout_ms=TIMEOUT_MILLISECONDS) for place in places}
        finally:
            consumer.close(autocommit=False)
        return {partition: offset for partition, offset in found.items() if offset is not None}

    def ends(self, topic: str) -> dict[int, int]:
        """Partition of a topic → one past its last record."""
        consumer = self._consumer()
        try:
            places = consumer.places(topic)
            ends = consumer.end_offsets(places, timeout_ms=TIMEOUT_MILLISECONDS) if places else {}
        finally:
            consumer.close(autocommit=False)
        return {place.partition: end for place, end in ends.items()}

    def _consumer(self) -> Any:  # kafka-python has no types
        from runtime.kafka_clients import Consumer

        return Consumer(
            bootstrap_servers=self.bootstrap_servers.split(","),
            group_id=self.name,
            enable_auto_commit=False,
            bootstrap_timeout_ms=TIMEOUT_MILLISECONDS,
            request_timeout_ms=TIMEOUT_MILLISECONDS,
        )
