"""Writes batches of both landing queries into bronze, one at a time, each exactly once and with a growing stamp.

Delta remembers (query id, batch id), so a batch that comes again after a crash changes nothing. One lock for both queries
makes the order of stamps the order of commits.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - Spark's own convention

from streaming.bronze_table import BronzeTable
from streaming.checkpoints import Checkpoints
from streaming.commit_metadata import CommitMetadata, Offsets, format_instant, merge_landed, next_stamp
from streaming.errors import StreamingError
from streaming.transforms import to_bronze

ROWS_PER_TASK = 25_000


@dataclass(frozen=True)
class LandingQuery:
    """One of the two queries: what it reads, how much at a time, and how it lays out files."""

    name: str
    topics: tuple[str, ...]
    max_offsets: int
    trigger_seconds: float
    one_file_per_date: bool


@dataclass(frozen=True)
class LandedBatch:
    """What one commit did, for the heartbeat."""

    query: str
    batch_id: int
    row_count: int
    duration_seconds: float
    finished_at: datetime


@dataclass(frozen=True)
class LandingRules:
    """What the transform needs to know beside the records."""

    dead_letter_topic: str
    contracts: tuple[str, ...]
    first_day: date


class WriterClosedError(StreamingError):
    """A batch came after the stop was asked for. It is not lost: the next start plans it again."""


def utc_now() -> datetime:
    """The wall clock, UTC."""
    return datetime.now(UTC)


class BronzeWriter:
    """The only writer of bronze in this process."""

    def __init__(
        self,
        table: BronzeTable,
        checkpoints: Checkpoints,
        rules: LandingRules,
        *,
        newest: CommitMetadata | None,
        topic_ids: dict[str, str],
        max_tasks: int,
        on_batch: Callable[[LandedBatch, Offsets], None] = lambda _batch, _landed: None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._table = table
        self._checkpoints = checkpoints
        self._rules = rules
        self._newest = newest
        self._topic_ids = topic_ids
        self._max_tasks = max_tasks
        self._on_batch = on_batch
        self._clock = clock
        self._closed = False
        self.lock = threading.Lock()

    @property
    def newest(self) -> CommitMetadata | None:
        """The metadata of the newest commit. Stable only while the lock is held."""
        return self._newest

    def write_batch(self, query: LandingQuery, location: str, records: DataFrame, batch_id: int) -> None:
        """Commits `records` as batch `batch_id` of `query`, whose checkpoint is at `location`. Idempotent."""
        ends = self._checkpoints.read_batch_ends(location, batch_id)
        begins = self._checkpoints.read_batch_ends(location, batch_id - 1) if batch_id else None
        query_id = self._checkpoints.read_query_id(location)
        with self.lock:
            if self._closed:
                raise WriterClosedError(f"batch {batch_id} of {query.name} is left to the next start")
            started = time.monotonic()
            landed = self._newest.offsets if self._newest else {}
            row_count = _count_between(begins, ends, landed)
            metadata = CommitMetadata(
                query=query.name,
                batch_id=batch_id,
                ingested_at=next_stamp(self._clock(), self._newest.ingested_at if self._newest else None),
                offsets=merge_landed(landed, ends),
                topic_ids=self._topic_ids,
            )
            self._append(query, records, row_count, metadata, str(query_id))
            self._newest = metadata
            self._on_batch(
                LandedBatch(query.name, batch_id, row_count, time.monotonic() - started, self._clock()),
                metadata.offsets,
            )

    def close(self, timeout_seconds: float) -> bool:
        """Lets the running batch end and takes no other. False when it did not end in time."""
        self._closed = True
        if not self.lock.acquire(timeout=timeout_seconds):
            return False
        self.lock.release()
        return True

    def _append(
        self, query: LandingQuery, records: DataFrame, row_count: int, metadata: CommitMetadata, query_id: str
    ) -> None:
        stamp = constant_instant(metadata.ingested_at)
        tasks = min(self._max_tasks, max(1, row_count // ROWS_PER_TASK))
        rows = to_bronze(
            records if query.one_file_per_date else records.coalesce(tasks),
            dead_letter_topic=self._rules.dead_letter_topic,
            contracts=self._rules.contracts,
            first_day=self._rules.first_day,
            ingested_at=stamp,
        )
        if query.one_file_per_date:
            # A batch of history touches hundreds of dates: 72,312 rows of 350 days made 1,306 files without this.
            rows = rows.repartition(tasks, "event_date").sortWithinPartitions("event_date", "event_hour")
        (
            rows.write.format("delta")
            .mode("append")
            .option("txnAppId", query_id)
            .option("txnVersion", metadata.batch_id)
            .option("userMetadata", metadata.to_json())
            .save(self._table.uri)
        )


def constant_instant(moment: datetime) -> Column:
    """The instant as a column whose generated code is the same for every instant.

    Spark writes a timestamp literal into the code that it generates: every batch would be compiled anew, by Spark and by the JVM. An
    array goes in by reference; its index must not be a constant, or the optimiser takes the element out again.
    """
    return F.get(F.array(F.lit(format_instant(moment)).cast("timestamp")), F.pmod(F.col("partition"), F.lit(1)))


def _count_between(begins: Offsets | None, ends: Offsets, landed: Offsets) -> int:
    """Records between two rows of ends; the first batch of a checkpoint begins behind what has landed."""
    total = 0
    for topic, of in ends.items():
        for partition, end in of.items():
            begin = (
                begins.get(topic, {}).get(partition, 0)
                if begins is not None
                else landed.get(topic, {}).get(partition, -1) + 1
            )
            total += max(0, end - begin)
    return total
