"""The downloads topic through confluent-kafka's consumer: a group whose offsets move only when the bridge says so."""

from collections.abc import Mapping, Sequence

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from ingestion.bridge.translation import Incoming
from ingestion.contracts.topics import DOWNLOADS_GROUP

BATCH_RECORDS = 1000
_WAIT_SECONDS = 0.2
log = structlog.get_logger(__name__)


class KafkaInlet:
    """See ingestion.bridge.runner.Inlet."""

    def __init__(self, bootstrap_servers: str, topic: str, group_id: str = DOWNLOADS_GROUP) -> None:
        self._topic = topic
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": group_id,
                "client.id": "tidemark-bridge",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                # The shortest that brokers allow: a killed bridge's partitions are its successor's after this long.
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 2000,
                # Bounds what waits in memory: the default is 64 MiB per partition.
                "queued.max.messages.kbytes": 4096,
                "fetch.max.bytes": 4 * 1024 * 1024,
                # Told at the end of a partition, past the markers of transactions, which no record stands for.
                "enable.partition.eof": True,
                "log_level": 2,
            },
            logger=None,
        )
        self._ends: dict[int, int] = {}
        """Partition → the end that was reached behind everything handed out."""
        self._committed: dict[int, int] = {}
        self._consumer.subscribe([topic])

    def read(self) -> list[Incoming]:
        """See Inlet."""
        found = []
        for message in self._consumer.consume(BATCH_RECORDS, timeout=_WAIT_SECONDS):
            error, partition, offset = message.error(), message.partition(), message.offset()
            if error is not None and error.code() == KafkaError._PARTITION_EOF and partition is not None:
                self._ends[partition] = offset or 0
                continue
            if error is not None or partition is None or offset is None:
                # The topic or the broker is away; librdkafka goes on trying.
                log.warning("the downloads topic is not readable", error=str(error))
                continue
            _, milliseconds = message.timestamp()
            found.append(Incoming(partition, offset, message.value() or b"", milliseconds))
        if not found:
            self._commit({})
        return found

    def commit(self, records: Sequence[Incoming]) -> None:
        """See Inlet. Where that fails the records may come again."""
        ends: dict[int, int] = {}
        for record in records:
            ends[record.partition] = max(ends.get(record.partition, 0), record.offset + 1)
        self._commit(ends)

    def _commit(self, handled: Mapping[int, int]) -> None:
        """With the ends that were reached: behind the last record may stand the marker of a transaction, and the group would lag."""
        reached, self._ends = self._ends, {}
        ends = {at: max(handled.get(at, 0), reached.get(at, 0)) for at in {*handled, *reached}}
        ends = {at: end for at, end in ends.items() if end > self._committed.get(at, 0)}
        if not ends:
            return
        places = [TopicPartition(self._topic, partition, end) for partition, end in ends.items()]
        try:
            self._consumer.commit(offsets=places, asynchronous=False)
            self._committed |= ends
        except KafkaException as error:
            log.warning("offsets are not committed, their records may be read again", error=str(error))

    def close(self) -> None:
        """Leaves the group, so that another bridge goes on at once."""
        self._consumer.close()
