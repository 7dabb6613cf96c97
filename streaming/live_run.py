"""The live windows as a whole: guards, the query, its batches into PostgreSQL, what is closed, stop. Reads no environment.

Data goes from the live topic to the tables of storage.live. Imported history and dead letters have topics of their own and are not read.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kafka.errors import KafkaError
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.streaming.query import StreamingQuery
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from ingestion.contracts.registry import CONTRACTS
from runtime.crash_points import CrashPoint, reach
from storage.control.alerts import open_alert, resolve_alert
from storage.live.anomaly_store import AnomalyWatch
from storage.live.batches import Batch, BatchOrderError, Cell, apply_batch, close_before
from storage.live.state import WINDOWS_QUERY, QueryState, open_state, remember_start
from storage.settings import StorageSettings
from streaming import guards, live_guards
from streaming.checkpoints import Checkpoints
from streaming.commit_metadata import Offsets
from streaming.errors import ConfigurationError, WindowsFailedError, reason_of
from streaming.files import Files
from streaming.kafka_topics import TopicInfo
from streaming.live_events import DELIVERY_GRACE_SECONDS, LiveRules, to_live
from streaming.live_progress import CatchUp, LiveBatch, LiveProgress
from streaming.live_windows import PLAN_VERSION, live_session, to_minutes
from streaming.settings import StreamingSettings
from streaming.sources import read_kafka, starting_offsets_json
from streaming.transforms import LandingRules, to_bronze

logger = logging.getLogger(__name__)

QUERY_FOLDER = "windows"
LOCK_WAIT_SECONDS = 30.0
RETRY_SECONDS = 1.0
DROPPED_ALERT = "live_rows_dropped"
# So long without a dropped row, and the alert is over.
QUIET = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LiveSource:
    """What is read: one topic, and the Avro schemas that its bodies may be written with."""

    topic: str
    dead_letter_topic: str
    reader_schema: str = ""
    writer_schemas: Mapping[int, str] | None = None


class LiveRun:
    """One run over an existing session. Use: start(), check() now and then, stop()."""

    def __init__(
        self,
        spark: SparkSession,
        engine: Engine,
        storage: StorageSettings,
        settings: StreamingSettings,
        source: LiveSource,
        progress: LiveProgress | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._spark = live_session(spark, settings.shuffle_partitions)
        self._engine = engine
        self._storage = storage
        self._settings = settings
        self._source = source
        self._clock = clock
        self._sleep = sleep
        self._query: StreamingQuery | None = None
        self._catch_up: CatchUp | None = None
        self._lock: object | None = None
        self._stopping = threading.Event()
        self._seen_batch = -1
        self._dropped = 0
        # The run before may have left an alert open.
        self._dropped_at: datetime | None = clock()
        self._anomalies = AnomalyWatch(engine, WINDOWS_QUERY)
        self.progress = progress or LiveProgress()
        self.checkpoints = Checkpoints(Files(spark), settings.windows_checkpoint_dir)

    def start(self, topic: TopicInfo, read_ends: Callable[[], Offsets]) -> None:
        """Starts the query.

        Raises:
            StartRefusedError: Kafka, checkpoint and tables do not fit together.
            ConfigurationError: another driver holds the checkpoint folder.
        """
        self._lock = self._take_lock()
        try:
            state = open_state(self._engine)
            location = self.checkpoints.location(state.generation, QUERY_FOLDER)
            planned, committed = self.checkpoints.read_batch_ids(location)
            guards.refuse(
                live_guards.check_plan(state, PLAN_VERSION)
                or live_guards.check_topic(state, {topic.name: topic.topic_id}, read_ends())
                or live_guards.check_checkpoint(state, self.checkpoints.read_query_id(location), planned, committed),
                "realtime_windows",
            )
            remember_start(self._engine, WINDOWS_QUERY, {topic.name: topic.topic_id}, PLAN_VERSION)
            self.progress.set_offsets(state.offsets)
            self._catch_up = CatchUp(read_ends, self._clock)
            self._query = self._start_query(state, location, topic)
        except BaseException:
            self.release()
            raise
        self.progress.set_state("running")

    def _start_query(self, state: QueryState, location: str, topic: TopicInfo) -> StreamingQuery:
        starts = state.offsets if state.last_batch is None else {}
        records = read_kafka(
            self._spark,
            bootstrap_servers=self._storage.kafka_bootstrap_servers,
            topics=(topic.name,),
            max_offsets=self._settings.windows_max_offsets,
            starting_offsets=starting_offsets_json({topic.name: list(topic.partitions)}, starts),
        )
        rows = to_bronze(
            records, LandingRules(self._source.dead_letter_topic, tuple(CONTRACTS), self._storage.first_day)
        )
        rules = LiveRules(
            self._storage.late_after_seconds, self._source.reader_schema, self._source.writer_schemas or {}
        )
        watermark = self._storage.late_after_seconds + self._settings.windows_watermark_slack_seconds
        return (
            to_minutes(to_live(rows, rules), watermark)
            .writeStream.queryName(WINDOWS_QUERY)
            .outputMode("update")
            .foreachBatch(lambda cells, batch_id: self._write_batch(location, cells, batch_id))
            .option("checkpointLocation", location)
            .trigger(processingTime=f"{int(self._settings.windows_trigger_seconds * 1000)} milliseconds")
            .start()
        )

    def _write_batch(self, location: str, frame: DataFrame, batch_id: int) -> None:
        """Puts one batch into the tables, however long they are away. Idempotent."""
        started = time.monotonic()
        cells = [_to_cell(row) for row in frame.collect()]
        batch = Batch(
            query=WINDOWS_QUERY,
            query_id=str(self.checkpoints.read_query_id(location)),
            batch_id=batch_id,
            offsets=self.checkpoints.read_batch_ends(location, batch_id),
            watermark_at=self.checkpoints.read_watermark(location, batch_id),
        )
        self._apply(batch, cells)
        reach(CrashPoint.WINDOWS_APPLIED)
        offsets = {topic: dict(of) for topic, of in batch.offsets.items()}
        self.progress.record_batch(
            LiveBatch(batch_id, len(cells), time.monotonic() - started, self._clock(), offsets, batch.watermark_at)
        )

    def _apply(self, batch: Batch, cells: list[Cell]) -> None:
        is_waiting = False
        while True:
            try:
                apply_batch(self._engine, batch, cells)
                break
            except OperationalError as error:
                if self._stopping.is_set():
                    raise WindowsFailedError(f"batch {batch.batch_id} is left to the next start") from error
                if not is_waiting:
                    logger.warning("the database is away; batch %s waits for it", batch.batch_id)
                    self.progress.set_state("waiting_for_database")
                is_waiting = True
                self._sleep(RETRY_SECONDS)
        if is_waiting:
            logger.warning("the database is back")
            self.progress.set_state("running")

    def check(self) -> None:
        """Closes what is over, beside the batches. Raises WindowsFailedError when the query has ended."""
        if self._query is None or self._catch_up is None:
            return
        if not self._query.isActive:
            error = self._query.exception()
            if BatchOrderError.__name__ in str(error):
                raise ConfigurationError(f"the query ended: {reason_of(error)}; {live_guards.RECOVER}")
            raise WindowsFailedError(f"the query ended: {reason_of(error)}")
        # A database that is away is the running batch's to report, and Kafka waits for its next poll.
        with suppress(OperationalError, KafkaError):
            self._count_dropped()
            self._settle(self._catch_up)

    def _settle(self, catch_up: CatchUp) -> None:
        """Closes and judges the minutes of which nothing more can come."""
        moment = catch_up.moment_passed(self.progress.offsets)
        if moment is None:
            return
        self.progress.record_caught_up(moment)
        countable = timedelta(seconds=self._storage.late_after_seconds + DELIVERY_GRACE_SECONDS)
        close_before(self._engine, WINDOWS_QUERY, moment - countable)
        for app_id, change in self._anomalies.judge_until(moment):
            logger.info("anomaly %s: %s", app_id, change)

    def _count_dropped(self) -> None:
        """Spark drops what is behind its watermark, which no record that is counted should be. If one was, somebody has to know."""
        if self._query is None:
            return
        unseen = [progress for progress in self._query.recentProgress if progress.batchId > self._seen_batch]
        dropped = sum(operator.numRowsDroppedByWatermark for progress in unseen for operator in progress.stateOperators)
        if dropped:
            message = (
                f"{self._dropped + dropped} rows were behind the watermark and are in no minute: partitions were read too far apart. "
                "Raise TIDEMARK_STREAMING_WINDOWS_WATERMARK_SLACK_SECONDS; gold has them."
            )
            # Before it counts as seen: the database may be away.
            open_alert(self._engine, DROPPED_ALERT, WINDOWS_QUERY, message, {"rows": self._dropped + dropped})
            self._dropped += dropped
            self._dropped_at = self._clock()
            self.progress.record_dropped(self._dropped)
        if unseen:
            self._seen_batch = unseen[-1].batchId
        if self._dropped_at is not None and self._clock() - self._dropped_at >= QUIET:
            resolve_alert(self._engine, DROPPED_ALERT, WINDOWS_QUERY)
            self._dropped_at = None

    def restart_with(self, source: LiveSource, topic: TopicInfo, read_ends: Callable[[], Offsets]) -> None:
        """Goes on with other Avro schemas: they are part of the query's plan, not of its state."""
        self.stop()
        self._stopping.clear()
        self._source = source
        self.start(topic, read_ends)

    def stop(self) -> bool:
        """Lets the running batch end, then stops. False when it had to be cut off; the next start repeats it."""
        deadline = time.monotonic() + self._settings.stop_timeout_seconds
        self.progress.set_state("stopping")
        self._stopping.set()
        query, self._query = self._query, None
        is_clean = True
        if query is not None:
            while query.isActive and query.status["isTriggerActive"] and is_clean:
                self._sleep(0.05)
                is_clean = time.monotonic() < deadline
            # A batch that is cut off is reported by Spark and py4j in sixty lines each.
            self._spark.sparkContext.setLogLevel("OFF")
            logging.getLogger("py4j").setLevel(logging.CRITICAL)
            query.stop()
            self._spark.sparkContext.setLogLevel("WARN")
        self.release()
        return is_clean

    def release(self) -> None:
        """Lets another driver take the checkpoint folder. Idempotent."""
        lock, self._lock = self._lock, None
        if lock is not None:
            self.checkpoints.unlock_driver(lock)

    def _take_lock(self) -> object:
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while (lock := self.checkpoints.lock_driver()) is None:
            if time.monotonic() >= deadline:
                raise ConfigurationError(f"another driver holds {self.checkpoints.root}/driver.lock; stop it first")
            self._sleep(0.2)
        return lock


def _to_cell(row: Row) -> Cell:
    return Cell(
        minute=_EPOCH + timedelta(seconds=row.minute),
        app_id=row.app_id,
        breakdown=row.breakdown,
        keys=list(row["keys"]),
        event_count=row.event_count,
        success_count=row.success_count,
        failed_count=row.failed_count,
        cancelled_count=row.cancelled_count,
        size_mb=row.size_mb,
        duration_seconds=row.duration_seconds,
        speed_mbps=row.speed_mbps,
        title=row.title,
        users_sketch=bytes(row.users_sketch),
    )
