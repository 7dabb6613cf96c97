"""Landing as a whole: guards, table, two queries, stop. The job and the tests drive it; it reads no environment.

Data goes from the Kafka topics to bronze, and to nowhere else.
"""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from ingestion.contracts.registry import CONTRACTS
from ingestion.contracts.topics import TopicNames
from storage.object_store import delta_options
from storage.settings import StorageSettings
from streaming import guards
from streaming.bronze_table import BronzeTable
from streaming.checkpoints import Checkpoints, LandingState
from streaming.commit_lock import CommitLock
from streaming.commit_metadata import Offsets
from streaming.compaction import Compactor
from streaming.errors import ConfigurationError, LandingFailedError, reason_of
from streaming.files import Files
from streaming.kafka_topics import TopicInfo
from streaming.progress import LandingProgress
from streaming.settings import StreamingSettings
from streaming.sources import read_kafka, starting_offsets_json
from streaming.transforms import LandingRules, to_bronze
from streaming.writers import BronzeWriter, LandingQuery

logger = logging.getLogger(__name__)

LOCK_WAIT_SECONDS = 30.0
# A reader lists and parses the commits since the last checkpoint: so many small files, and what is committed while one is made.
COMMITS_PER_CHECKPOINT = 30
# Beside the checkpoints; it lists the log, which is 86,000 files after a day.
LOG_TRIM_SECONDS = 900.0


def landing_queries(names: TopicNames, settings: StreamingSettings) -> tuple[LandingQuery, ...]:
    """The two queries: imported history has its own, so that it does not delay what happens now."""
    return (
        LandingQuery(
            "live", (names.live, names.dead_letters), settings.max_offsets_live, settings.trigger_seconds, False
        ),
        LandingQuery("import", (names.imports,), settings.max_offsets_import, settings.import_trigger_seconds, True),
    )


class Landing:
    """One run of landing over an existing session. Use: start(), check() now and then, stop()."""

    def __init__(
        self,
        spark: SparkSession,
        storage: StorageSettings,
        settings: StreamingSettings,
        progress: LandingProgress | None = None,
        sleep: Callable[[float], None] = time.sleep,
        lock_wait_seconds: float = LOCK_WAIT_SECONDS,
    ) -> None:
        self._spark = spark
        self._storage = storage
        self._settings = settings
        self._progress = progress or LandingProgress()
        self._sleep = sleep
        self._lock_wait_seconds = lock_wait_seconds
        self._trim_log_at = time.monotonic()
        self._queries: dict[str, StreamingQuery] = {}
        self._writer: BronzeWriter | None = None
        self._compactor: Compactor | None = None
        self._lock: object | None = None
        self.table = BronzeTable(spark, storage.bronze_uri)
        self.checkpoints = Checkpoints(Files(spark), settings.checkpoint_dir)

    def start(self, topics: Mapping[str, TopicInfo], read_ends: Callable[[], Offsets]) -> None:
        """Starts both queries. Kafka's ends are read once no other driver lands: they must be behind what bronze holds.

        Raises:
            StartRefusedError: Kafka, checkpoint and bronze do not fit together.
            ConfigurationError: another driver holds the checkpoint folder.
        """
        self._lock = self._take_lock()
        try:
            self._start(topics, read_ends())
        except BaseException:
            self.release()
            raise

    def _start(self, topics: Mapping[str, TopicInfo], ends: Offsets) -> None:
        newest = self.table.read_newest_metadata() if self.table.exists() else None
        landed = newest.offsets if newest else {}
        state = self.checkpoints.read_state()
        names = self._storage.topics
        found = {topic.name: topic.topic_id for topic in topics.values()}
        queries = landing_queries(names, self._settings)
        known = guards.known_topic_ids(state, newest)
        state = state or LandingState()
        guards.refuse(guards.check_names(state, {*known, *landed}, names))
        problems = guards.check_topics(known, found) or guards.check_broker_holds(landed, ends)
        for query in queries:
            place = self.checkpoints.read_place(self.checkpoints.location(state.generation, query.name))
            problems += guards.check_query(query.name, query.topics, place, state, landed)
        guards.refuse(problems)
        state = self.checkpoints.remember_topics(state, found, names.landed_roles)
        self.table.create()
        self._progress.set_landed(landed)
        commit_lock = CommitLock(self._spark, self.table.uri)
        self._writer = BronzeWriter(
            self.table,
            self.checkpoints,
            commit_lock,
            newest=newest,
            topic_ids=found,
            max_tasks=self._settings.shuffle_partitions,
            on_batch=self._progress.record_batch,
        )
        writer = self._writer
        self._compactor = Compactor(self._spark, self._storage, writer.lock, commit_lock, self._settings)
        for query in queries:
            self._queries[query.name] = self._start_query(query, state, topics)
        self._progress.set_state("running")

    def _start_query(self, query: LandingQuery, state: LandingState, topics: Mapping[str, TopicInfo]) -> StreamingQuery:
        assert self._writer is not None
        location = self.checkpoints.location(state.generation, query.name)
        starts = {topic: of for topic, of in state.starting_offsets.items() if topic in query.topics}
        partitions = {topic: list(topics[topic].partitions) for topic in query.topics}
        records = read_kafka(
            self._spark,
            bootstrap_servers=self._storage.kafka_bootstrap_servers,
            topics=query.topics,
            max_offsets=query.max_offsets,
            starting_offsets=starting_offsets_json(partitions, starts),
        )
        rules = LandingRules(self._storage.topics.dead_letters, tuple(CONTRACTS), self._storage.first_day)
        return (
            to_bronze(records, rules)
            .writeStream.queryName(f"land_bronze_{query.name}")
            .foreachBatch(partial(self._writer.write_batch, query, location))
            .option("checkpointLocation", location)
            .trigger(processingTime=f"{int(query.trigger_seconds * 1000)} milliseconds")
            .start()
        )

    def check(self) -> None:
        """Cares for the table when it is time, beside the batches. Raises LandingFailedError when a query has ended."""
        for name, query in self._queries.items():
            if not query.isActive:
                raise LandingFailedError(f"query {name} ended: {reason_of(query.exception())}")
        if self.table.commits_since_checkpoint() >= COMMITS_PER_CHECKPOINT:
            self._care_for_log()
        if self._compactor is not None:
            self._compactor.start_if_due()

    def _care_for_log(self) -> None:
        """Landing does not depend on it: readers of the log list or parse more until the next time."""
        try:
            self.table.checkpoint(delta_options(self._storage))
        except Exception:
            logger.warning("bronze's log got no checkpoint; the next one comes after as many commits", exc_info=True)
        if time.monotonic() < self._trim_log_at:
            return
        self._trim_log_at = time.monotonic() + LOG_TRIM_SECONDS
        try:
            self.table.trim_log()
        except Exception:
            logger.warning(
                "bronze's log was not trimmed; the next attempt comes in a quarter of an hour", exc_info=True
            )

    def landed(self) -> Offsets:
        """The highest landed offset per topic and partition, by the newest commit of this run."""
        newest = self._writer.newest if self._writer else None
        return newest.offsets if newest else {}

    def stop(self) -> bool:
        """Lets the running batch end, then stops both queries. False when it had to be cut off; nothing is lost then either."""
        deadline = time.monotonic() + self._settings.stop_timeout_seconds
        self._progress.set_state("stopping")
        # A batch that comes after the stop is turned away, which Spark and py4j report as errors of sixty lines each.
        self._spark.sparkContext.setLogLevel("OFF")
        logging.getLogger("py4j").setLevel(logging.CRITICAL)
        is_clean = self._writer is None or self._writer.close(self._settings.stop_timeout_seconds)
        for query in self._queries.values():
            # The batch is in bronze; Spark's own note of it follows within milliseconds.
            while query.isActive and query.status["isTriggerActive"] and time.monotonic() < deadline:
                self._sleep(0.05)
            query.stop()
        self._queries.clear()
        if self._compactor is not None:
            # Half of one changes nothing: what is not done by then goes with the JVM.
            self._compactor.wait(max(0.0, deadline - time.monotonic()))
        self._spark.sparkContext.setLogLevel("WARN")
        self.release()
        return is_clean

    def release(self) -> None:
        """Lets another driver of this process's JVM take the checkpoint folder."""
        lock, self._lock = self._lock, None
        if lock is not None:
            self.checkpoints.unlock_driver(lock)

    def _take_lock(self) -> object:
        deadline = time.monotonic() + self._lock_wait_seconds
        while True:
            lock = self.checkpoints.lock_driver()
            if lock is not None:
                return lock
            if time.monotonic() >= deadline:
                raise ConfigurationError(
                    f"another landing driver holds {self.checkpoints.root}/driver.lock; stop it first"
                )
            self._sleep(0.2)
