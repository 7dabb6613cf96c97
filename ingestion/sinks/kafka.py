"""The Kafka sink: confluent-kafka with acks=all, one completion per call however many records it has.

Records of one key keep their order (idempotent producer, never transactional: commit markers would take offsets). The queue is
bounded by count and bytes; beyond it calls are refused at once instead of growing memory. Every record's fate is known after at
most `message_timeout_seconds`.

Delivery reports are served by the event loop that waits for them, once a millisecond: a report costs one entry into the interpreter,
and from a thread each of them would first wait for the loop to let go of it. A thread serves them where there is no loop.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
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
_ALL_DELIVERED = Outcome()
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class KafkaSinkSettings:
    """Address and bounds of a Kafka sink."""

    bootstrap_servers: str
    checked_topic: str = LIVE_TOPIC
    message_timeout_seconds: float = 8.0
    publish_timeout_seconds: float = 10.0
    linger_milliseconds: float = 2.0
    max_queued_records: int = 200_000
    max_queued_bytes: int = 128 * 1024 * 1024

    def producer_config(self) -> dict[str, str | int | float | bool]:
        """The configuration for librdkafka. Its own limits stand above ours, which are checked first."""
        return {
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": "tidemark-ingestion",
            "acks": "all",
            "enable.idempotence": True,
            "delivery.report.only.error": True,  # see _Reports
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
    """What becomes of one call's records. Completes when the last of them was reported and no more will be sent.

    Keeps the records' values and no more: what else a record consists of is freed as soon as librdkafka has its copy, while the
    processor still has it at hand.
    """

    __slots__ = ("_completed", "_failed", "values")

    def __init__(self, completed: Callable[[Outcome], object]) -> None:
        self.values: list[bytes] = []
        self._completed = completed
        self._failed: dict[int, str] = {}

    def report_failure(self, error: KafkaError, message: Message) -> None:
        """A record that was not delivered. It is found again by its value: its twins in the call count as failed too.

        One that cannot be found fails the whole call: better sent again than believed to be there.
        """
        failed = message.value()
        found = [position for position, value in enumerate(self.values) if value == failed]
        self._failed |= dict.fromkeys(found or range(len(self.values)), error.str())

    def refuse(self, positions: range, refusal: str) -> None:
        """Records that were not even queued."""
        self._failed |= dict.fromkeys(positions, refusal)

    def complete(self) -> None:
        """Every fate is known."""
        self._completed(Outcome(self._failed) if self._failed else _ALL_DELIVERED)


class _Reports:
    """The callback of one call's records, which tells by its own end that all of them were reported.

    librdkafka's binding holds a reference for every record that is under way and drops it after the record's report; it calls only
    for those that failed (`delivery.report.only.error`). So a delivered record costs no call into Python, and when the last one is
    reported, nothing refers to this object any more. Records whose report never comes keep it alive: it can be late, but never early.
    """

    __slots__ = ("_delivery",)

    def __init__(self, delivery: _Delivery) -> None:
        self._delivery = delivery

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._delivery.report_failure(error, message)

    def __del__(self) -> None:
        self._delivery.complete()


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
        # Of the running loop, in order of their deadlines.
        self._awaited: deque[tuple[float, asyncio.Future[Outcome]]] = deque()

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
        future: Future[Outcome] = Future()
        self._start(batch, future.set_result)
        return future

    def publish(self, batch: Batch) -> "asyncio.Future[Outcome]":
        """See EventSink. Queued when this returns; from the event loop only."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        here = threading.get_ident()

        def completed(outcome: Outcome) -> None:
            # The loop itself serves reports nearly always: then its thread is this one.
            if threading.get_ident() == here:
                _settle(future, outcome)
            else:
                loop.call_soon_threadsafe(_settle, future, outcome)

        self._start(batch, completed)
        self._awaited.append((loop.time() + self._settings.publish_timeout_seconds, future))
        if self._pump is None or self._pump.done():
            self._pump = loop.create_task(self._serve_reports())
        return future

    async def _serve_reports(self) -> None:
        awaited, now = self._awaited, asyncio.get_running_loop().time
        while awaited:
            self._connection.serve_now()
            while awaited and (awaited[0][1].done() or awaited[0][0] < now()):
                _, future = awaited.popleft()
                if not future.done():
                    future.set_exception(SinkUnavailableError("the broker did not acknowledge in time"))
            await asyncio.sleep(_PUMP_SECONDS)

    def _start(self, batch: Batch, completed: Callable[[Outcome], object]) -> None:
        self._reserve(batch.count, batch.size_bytes)

        def release(outcome: Outcome) -> None:
            self._release(batch.count, batch.size_bytes)
            completed(outcome)

        delivery = _Delivery(release)
        self._produce(batch, delivery, _Reports(delivery))

    def _produce(self, batch: Batch, delivery: _Delivery, reports: _Reports) -> None:
        produce, keep = self._connection.producer.produce, delivery.values.append
        sent, refusal = 0, ""
        try:
            for record in batch.records:
                keep(record.value)
                # By position (callback and on_delivery are one): naming an argument costs a fifth of the call (measured).
                produce(record.topic, record.value, record.key, -1, reports, reports, 0, record.headers)
                sent += 1
        except (BufferError, KafkaException) as error:
            refusal = str(error)
            log.warning("kafka producer refused records", refused=batch.count - sent, error=refusal)
        finally:  # even where making a record fails: what was reserved is given back
            delivery.refuse(range(sent, batch.count), refusal)
            del reports  # a traceback would hold on to it

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


def _settle(future: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
    if not future.done():  # it may have run out of time, or its request was given up
        future.set_result(outcome)
