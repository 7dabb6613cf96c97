"""Writes batches of both landing queries into bronze, one at a time, each exactly once and with a growing stamp.

Every commit says in its metadata how far bronze reaches with it, so a batch that comes again after a crash is known by its offsets, and
one that would leave a gap is refused. One lock for both queries makes the order of stamps the order of commits.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark.sql import DataFrame

from runtime.crash_points import CrashPoint, reach
from streaming.append_transaction import QueryBatch
from streaming.bronze_table import BronzeTable
from streaming.checkpoints import Checkpoints
from streaming.commit_lock import CommitLock
from streaming.commit_metadata import CommitMetadata, Offsets, merge_landed, next_stamp
from streaming.errors import LandingFailedError, StreamingError
from streaming.transforms import with_stamp

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


class WriterClosedError(StreamingError):
    """A batch came after the stop was asked for. It is not lost: the next start plans it again."""


def utc_now() -> datetime:
    """The wall clock, UTC."""
    return datetime.now(UTC)


class BronzeWriter:
    """The only one in this process who adds rows to bronze."""

    def __init__(
        self,
        table: BronzeTable,
        checkpoints: Checkpoints,
        commit_lock: CommitLock,
        *,
        newest: CommitMetadata | None,
        topic_ids: dict[str, str],
        max_tasks: int,
        on_batch: Callable[[LandedBatch, Offsets], None] = lambda _batch, _landed: None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._table = table
        self._checkpoints = checkpoints
        self._commit_lock = commit_lock
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

    def write_batch(self, query: LandingQuery, location: str, rows: DataFrame, batch_id: int) -> None:
        """Commits `rows`, without stamp, as batch `batch_id` of `query`, whose checkpoint is at `location`. Idempotent."""
        ends = self._checkpoints.read_batch_ends(location, batch_id)
        begins = self._checkpoints.read_batch_ends(location, batch_id - 1) if batch_id else None
        with self.lock:
            if self._closed:
                raise WriterClosedError(f"batch {batch_id} of {query.name} is left to the next start")
            started = time.monotonic()
            landed = self._newest.offsets if self._newest else {}
            if has_landed(begins, ends, landed):
                return
            row_count = _count_between(begins, ends, landed)
            metadata = CommitMetadata(
                query=query.name,
                batch_id=batch_id,
                ingested_at=next_stamp(self._clock(), self._newest.ingested_at if self._newest else None),
                offsets=merge_landed(landed, ends),
                topic_ids=self._topic_ids,
            )
            reach(CrashPoint.LANDING_PLANNED)
            try:
                self._append(query, location, rows, row_count, metadata)
            except BaseException:
                # It may be committed all the same: what comes after must know, and only a start reads the log again.
                self._closed = True
                raise
            reach(CrashPoint.LANDING_COMMITTED)
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
        self, query: LandingQuery, location: str, rows: DataFrame, row_count: int, metadata: CommitMetadata
    ) -> None:
        tasks = min(self._max_tasks, max(1, row_count // ROWS_PER_TASK))
        if query.one_file_per_date:
            # A batch of history touches hundreds of dates: 72,312 rows of 350 days made 1,306 files without this.
            rows = rows.repartition(tasks, "event_date").sortWithinPartitions("event_date", "event_hour")
        else:
            rows = rows.coalesce(tasks)
        batch = None
        if not self._checkpoints.has_locks:
            # Delta refuses a commit when another driver made one of the same query meanwhile. To know it computes the table's state
            # from the log for every batch, 0.4 s each; where our own lock keeps others out that is for nothing.
            batch = QueryBatch(str(self._checkpoints.read_query_id(location)), metadata.batch_id)
        with self._commit_lock.hold():
            stamped = with_stamp(rows, metadata.ingested_at)
            self._table.append(stamped, metadata.to_json(), batch, self._refuse_another_driver)

    def _refuse_another_driver(self) -> None:
        """What keeps two drivers apart lies with their checkpoints: with two of those, this batch may have landed already.

        A compaction says in its commit what the one before it said.
        """
        newest, known = self._table.read_newest_metadata(), self._newest
        if (newest.offsets if newest else {}) != (known.offsets if known else {}):
            raise LandingFailedError(
                f"another driver has landed into {self._table.uri} meanwhile: stop it, or this one; the next start reads how far bronze is"
            )


def has_landed(begins: Offsets | None, ends: Offsets, landed: Offsets) -> bool:
    """Whether bronze holds a batch already: its records are those from `begins` to before `ends`. `begins` is None for a first batch.

    Raises: LandingFailedError when bronze neither ends where the batch begins nor where it ends.
    """
    held: list[str] = []
    missing: list[str] = []
    for topic, of in ends.items():
        for partition, end in of.items():
            next_offset = _next_offset(landed, topic, partition)
            begin = _begin(begins, landed, topic, partition)
            if end > begin or begins is None:
                (held if end <= next_offset else missing).append(f"{topic}/{partition}")
                if begin != next_offset < end:
                    raise LandingFailedError(
                        f"the batch goes on at {topic}/{partition}/{begin}, but bronze at {next_offset}"
                    )
    if held and missing and begins is not None:
        raise LandingFailedError(
            f"bronze holds the batch's records of {', '.join(held)}, but not of {', '.join(missing)}"
        )
    return not missing


def _count_between(begins: Offsets | None, ends: Offsets, landed: Offsets) -> int:
    """Records between two rows of ends."""
    return sum(
        max(0, end - _begin(begins, landed, topic, partition))
        for topic, of in ends.items()
        for partition, end in of.items()
    )


def _begin(begins: Offsets | None, landed: Offsets, topic: str, partition: int) -> int:
    """The first offset of a batch; the first batch of a checkpoint begins behind what has landed."""
    return _next_offset(landed, topic, partition) if begins is None else begins.get(topic, {}).get(partition, 0)


def _next_offset(landed: Offsets, topic: str, partition: int) -> int:
    return landed.get(topic, {}).get(partition, -1) + 1
