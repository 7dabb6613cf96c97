"""The Kafka sink: confluent-kafka with acks=all, one completion per call however many records it has.

Records of one key keep their order (idempotent producer, never transactional: commit markers would take offsets). The queue is
bounded by count and bytes; beyond it calls are refused at once instead of growing memory. Every record's fate is known after at
most `message_timeout_seconds`.

Delivery reports are served by the event loop that waits for them, once a millisecond: a report costs one entry into the interpreter,
and from a thread each of them would first wait for the loop to let go of it. A thread serves them where there is no loop.
"""

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ingestion.contracts.topics import LIVE_TOPIC, MAX_RECORD_SIZE_BYTES
from ingestion.sinks.errors import QueueFullError, SinkUnavailableError
from ingestion.sinks.sink import Batch, Outcome

_POLL_SECONDS = 0.1
_PUMP_SECONDS = 0.001
# The thread stays out of the loop's way for this long after the loop served reports.
_YIELD_SECONDS = 0.05
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class KafkaSinkSettings:
    """Address and bounds of a Kafka sink."""

    bootstrap_servers: str
    checked_topic: str = LIVE_TOPIC
    message_timeout_seconds: float = 8.0
    publish_timeout_seconds: float = 10.0
    linger_milliseconds: float = 5.0
    max_queued_records: int = 200_000
    max_queued_bytes: int = 128 * 1024 * 1024

    def producer_config(self) -> dict[str, str | int | float | bool]:
        """The configuration for librdkafka. Its own limits stand above ours, which are checked first."""
        return {
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": "tidemark-ingestion",
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",  # the Java client's: one user, one partition, whoever produces
            "linger.ms": self.linger_milliseconds,
            "batch.size": 1_000_000,
            "message.timeout.ms": int(self.message_timeout_seconds * 1000),
            "message.max.bytes": MAX_RECORD_SIZE_BYTES,
            "queue.buffering.max.messages": self.max_queued_records * 2,
            "queue.buffering.max.kbytes": self.max_queued_bytes // 1024 * 4,
            "reconnect.backoff.max.ms": 1000,
            "socket.connection.setup.timeout.ms": 3000,
            "log.connection.close": False,
            "log_level": 2,
        }


class _Delivery:
    """Counts the delivery reports of one call. Reports come one at a time: whoever polls holds the connection's lock.

    Keeps the records' values and no more: what else a record consists of is freed as soon as librdkafka has its copy, while the
    processor still has it at hand.
    """

    __slots__ = ("_failed", "_lock", "_reported", "_sent", "future", "values")

    def __init__(self) -> None:
        self.future: Future[Outcome] = Future()
        self.values: list[bytes] = []
        self._failed: dict[int, str] = {}
        self._reported = 0
        self._sent: int | None = None
        self._lock = threading.Lock()

    def report(self, error: KafkaError | None, message: Message) -> None:
        """One record's fate. A failed record is found again by its value: its twins in the call count as failed too."""
        if error is not None:
            failed = message.value()
            for position, value in enumerate(self.values):
                if value == failed:
                    self._failed[position] = error.str()
        self._reported += 1
        if self._reported == self._sent:
            self._complete()

    def all_sent(self, sent: int, refused: range, refusal: str) -> None:
        """No record beyond the first `sent` was queued; the positions that were refused have failed."""
        self._failed |= dict.fromkeys(refused, refusal)
        self._sent = sent
        if self._reported == sent:
            self._complete()

    def _complete(self) -> None:
        with self._lock:  # the last report and all_sent may meet
            if not self.future.done():
                self.future.set_result(Outcome(self._failed))


class _Connection:
    """A producer and the thread that serves its reports. It ends after `stop` once nothing is in flight."""

    def __init__(self, settings: KafkaSinkSettings) -> None:
        self.producer = Producer(settings.producer_config(), logger=None, error_cb=self._note_error)
        self.has_failed = False
        self._is_pumped = False
        self._polling = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="kafka-delivery-reports", daemon=True)
        self._thread.start()

    def _note_error(self, error: KafkaError) -> None:
        if error.fatal():
            self.has_failed = True
            log.error("kafka producer failed for good", error=error.str())

    def serve_now(self) -> None:
        """Serves the reports that are there, unless the thread is about it."""
        self._is_pumped = True
        if self._polling.acquire(blocking=False):
            try:
                self.producer.poll(0)
            finally:
                self._polling.release()

    def _serve(self) -> None:
        while not self._stopping.is_set() or len(self.producer):
            if self._is_pumped:
                self._is_pumped = False
                self._stopping.wait(_YIELD_SECONDS)
                continue
            with self._polling:
                self.producer.poll(_POLL_SECONDS)

    def stop(self, timeout_seconds: float) -> None:
        self._stopping.set()
        self._thread.join(timeout_seconds)


class KafkaSink:
    """An EventSink over one producer, replaced when librdkafka declares it failed for good."""

    def __init__(self, settings: KafkaSinkSettings) -> None:
        self._settings = settings
        self._connection = _Connection(settings)
        self._lock = threading.Lock()
        self._queued_records = 0
        self._queued_bytes = 0
        self._pump: asyncio.Task[None] | None = None

    @property
    def queued_records(self) -> int:
        """Records that wait for the broker's acknowledgement."""
        return self._queued_records

    @property
    def queued_bytes(self) -> int:
        """Bytes of their values."""
        return self._queued_bytes

    def submit(self, batch: Batch) -> "Future[Outcome]":
        """See EventSink. The future's result comes after at most the message timeout."""
        self._reserve(batch.count, batch.size_bytes)
        delivery = _Delivery()
        delivery.future.add_done_callback(lambda _: self._release(batch.count, batch.size_bytes))
        produce, report, keep = self._connection.producer.produce, delivery.report, delivery.values.append
        sent, refusal = 0, ""
        try:
            for record in batch.records:
                keep(record.value)
                # By position (callback and on_delivery are one): naming an argument costs a fifth of the call (measured).
                produce(record.topic, record.value, record.key, -1, report, report, 0, record.headers)
                sent += 1
        except (BufferError, KafkaException) as error:
            refusal = str(error)
            log.warning("kafka producer refused records", refused=batch.count - sent, error=refusal)
        finally:  # even where making a record fails: what was reserved is given back
            delivery.all_sent(sent, range(sent, batch.count), refusal)
        return delivery.future

    async def publish(self, batch: Batch) -> Outcome:
        """See EventSink."""
        waiting = asyncio.wrap_future(self.submit(batch))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._serve_reports())
        # asyncio.wait, not wait_for: a time-out must not cancel the future under the reports' hands.
        await asyncio.wait([waiting], timeout=self._settings.publish_timeout_seconds)
        if not waiting.done():
            raise SinkUnavailableError("the broker did not acknowledge in time")
        return waiting.result()

    async def _serve_reports(self) -> None:
        while self._queued_records:
            self._connection.serve_now()
            await asyncio.sleep(_PUMP_SECONDS)

    def check(self, timeout_seconds: float) -> None:
        """See EventSink: every partition of the topic has a leader, asked of the broker now."""
        topic = self._settings.checked_topic
        try:
            found = self._connection.producer.list_topics(topic, timeout=timeout_seconds).topics[topic]
        except KafkaException as error:
            raise SinkUnavailableError(f"the broker does not answer: {error.args[0].str()}") from None
        if found.error is not None:
            raise SinkUnavailableError(f"topic {topic}: {found.error.str()}; create it with `tidemark up`")
        leaderless = sorted(number for number, partition in found.partitions.items() if partition.leader < 0)
        if leaderless:
            raise SinkUnavailableError(f"topic {topic}: partitions {leaderless} have no leader")

    def close(self, timeout_seconds: float) -> None:
        """See EventSink."""
        self._connection.stop(timeout_seconds)

    def _reserve(self, count: int, size_bytes: int) -> None:
        with self._lock:
            if self._connection.has_failed:
                failed, self._connection = self._connection, _Connection(self._settings)
                threading.Thread(target=failed.stop, args=(60.0,), daemon=True).start()
            if (
                self._queued_records + count > self._settings.max_queued_records
                or self._queued_bytes + size_bytes > self._settings.max_queued_bytes
            ):
                raise QueueFullError(f"{self._queued_records} records wait for the broker already")
            self._queued_records += count
            self._queued_bytes += size_bytes

    def _release(self, count: int, size_bytes: int) -> None:
        with self._lock:
            self._queued_records -= count
            self._queued_bytes -= size_bytes
