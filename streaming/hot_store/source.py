"""The live topic as a member of the consumer group sees it, through kafka-python: records come, offsets move only when told to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError

from runtime.kafka_clients import Consumer
from streaming.hot_store.records import Record

COMMIT_TIMEOUT_SECONDS = 4.0
CLOSE_TIMEOUT_SECONDS = 2.0
ENDS_TIMEOUT_SECONDS = 1.0
# A worker that is stopped from outside (SIGSTOP, a hanging store) for longer gives its partitions to the others.
MAX_POLL_INTERVAL_SECONDS = 120
FETCH_MAX_BYTES = 8 * 1024 * 1024
log = structlog.get_logger(__name__)


class RecordSource(Protocol):
    """What a worker reads. One thread uses it."""

    def poll(self, timeout_seconds: float) -> list[Record]:
        """The next records, by partition in order of their offsets; none after the timeout."""
        ...

    def hold(self, timeout_seconds: float) -> list[Record]:
        """Stays a member without reading on. Gives records of partitions that were assigned during the call, usually none."""
        ...

    def resume(self) -> None:
        """Reads on after `hold`."""
        ...

    def assigned(self) -> frozenset[int]:
        """The partitions that are this member's."""
        ...

    def commit(self, ends: Mapping[int, int]) -> bool:
        """Partition → offset to go on at. False when that failed: the records may come again, here or elsewhere."""
        ...

    def lag(self) -> int:
        """Records known to be in the assigned partitions that `commit` was not told of."""
        ...

    def close(self) -> None:
        """Leaves the group, so that others go on at once."""
        ...


@dataclass(frozen=True)
class GroupMembership:
    """Who reads what."""

    bootstrap_servers: str
    topic: str
    group: str
    member_name: str
    batch_max_records: int
    session_timeout_seconds: float


class KafkaRecordSource:
    """See RecordSource."""

    def __init__(self, membership: GroupMembership) -> None:
        self._topic = membership.topic
        session_milliseconds = int(membership.session_timeout_seconds * 1000)
        self._consumer: Any = Consumer(  # kafka-python has no types
            bootstrap_servers=membership.bootstrap_servers.split(","),
            client_id=f"tidemark-{membership.member_name}",
            group_id=membership.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            max_poll_records=membership.batch_max_records,
            session_timeout_ms=session_milliseconds,
            heartbeat_interval_ms=session_milliseconds // 3,
            max_poll_interval_ms=MAX_POLL_INTERVAL_SECONDS * 1000,
            fetch_max_bytes=FETCH_MAX_BYTES,
            max_partition_fetch_bytes=FETCH_MAX_BYTES // 4,
            reconnect_backoff_max_ms=1000,
        )
        self._consumer.subscribe([membership.topic])
        self._unhandled: dict[int, int] = {}
        """Partition → the offset of the first record that was polled and that `commit` was not told of."""

    def poll(self, timeout_seconds: float) -> list[Record]:
        """See RecordSource."""
        polled = self._consumer.poll(timeout_ms=int(timeout_seconds * 1000))
        assigned = self.assigned()
        self._unhandled = {number: offset for number, offset in self._unhandled.items() if number in assigned}
        for place, records in polled.items():
            self._unhandled.setdefault(place.partition, records[0].offset)
        return [
            Record(
                found.topic,
                found.partition,
                found.offset,
                found.timestamp,
                found.key,
                found.value,
                tuple(found.headers),
            )
            for records in polled.values()
            for found in records
        ]

    def hold(self, timeout_seconds: float) -> list[Record]:
        """See RecordSource. Polling is what shows the group that this member lives."""
        assignment = self._consumer.assignment()
        if assignment:
            self._consumer.pause(*assignment)
        return self.poll(timeout_seconds)

    def resume(self) -> None:
        """See RecordSource."""
        paused = self._consumer.paused()
        if paused:
            self._consumer.resume(*paused)

    def assigned(self) -> frozenset[int]:
        """See RecordSource."""
        return frozenset(place.partition for place in self._consumer.assignment())

    def commit(self, ends: Mapping[int, int]) -> bool:
        """See RecordSource."""
        for partition in ends:
            self._unhandled.pop(partition, None)
        offsets = {TopicPartition(self._topic, partition): OffsetAndMetadata(end) for partition, end in ends.items()}
        try:
            self._consumer.commit(offsets, timeout_ms=int(COMMIT_TIMEOUT_SECONDS * 1000))
        except KafkaError as error:
            log.warning("offsets are not committed, their records may be read again", error=type(error).__name__)
            return False
        return True

    def lag(self) -> int:
        """See RecordSource. By what the newest fetch said; of partitions on hold, which are not fetched, the broker is asked."""
        total, held_ends = 0, self._held_ends()
        for place in self._consumer.assignment():
            end = max(self._consumer.highwater(place) or 0, held_ends.get(place, 0))
            start = self._unhandled.get(place.partition)
            if start is None and end:
                start = self._consumer.position(place, timeout_ms=0)
            if start is not None:
                total += max(0, end - start)
        return total

    def _held_ends(self) -> Mapping[TopicPartition, int]:
        held = list(self._consumer.paused())
        if not held:
            return {}
        try:
            found: Mapping[TopicPartition, int] = self._consumer.end_offsets(
                held, timeout_ms=int(ENDS_TIMEOUT_SECONDS * 1000)
            )
        except KafkaError:
            return {}  # the broker is away as well: what was known stays
        return found

    def close(self) -> None:
        """See RecordSource."""
        self._consumer.close(autocommit=False, timeout_ms=int(CLOSE_TIMEOUT_SECONDS * 1000))
