"""Rewrites many small files of an open date as few larger ones, without changing a row, while batches go on.

Batches wait for its commit alone. Closed dates are left to streaming.jobs.compact_bronze, unless bronze is where two drivers cannot be
kept apart.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

from pyspark.sql import SparkSession

from storage.bronze_files import first_open_date, list_files
from storage.settings import StorageSettings
from streaming.commit_lock import CommitLock
from streaming.open_date_rewrite import OpenDateRewriter
from streaming.rewrite_transaction import Committer, Rewrite
from streaming.settings import StreamingSettings

# Before the other driver takes a date for closed, this one is through with it.
HANDOVER = timedelta(hours=1)
# Beside that of the batches, with an equal claim to the executor's threads: for what its commit asks of Spark.
SCHEDULER_POOL = "compaction"
logger = logging.getLogger(__name__)


def choose_date(small_files: Mapping[date, int], min_files: int) -> date | None:
    """The date with most small files, if that is enough of them; the earlier one of equals."""
    dates = [day for day, count in small_files.items() if count >= min_files]
    return min(dates, key=lambda day: (-small_files[day], day), default=None)


class _WriterLock:
    """Keeps out batches of this driver, and commits of the other."""

    def __init__(self, writer: threading.Lock, commits: CommitLock) -> None:
        self._writer = writer
        self._commits = commits

    @contextmanager
    def hold(self) -> Iterator[None]:
        """In the order in which batches take both."""
        with self._writer, self._commits.hold():
            yield


class Compactor:
    """Compacts one date at a time, in a thread of its own."""

    def __init__(
        self,
        spark: SparkSession,
        storage: StorageSettings,
        lock: threading.Lock,
        commit_lock: CommitLock,
        settings: StreamingSettings,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._spark = spark
        self._storage = storage
        self._rewriter = OpenDateRewriter(spark, storage, Committer(_WriterLock(lock, commit_lock)))
        self._keeps_others_out = commit_lock.keeps_others_out
        self._settings = settings
        self._clock = clock
        self._now = now
        self._thread: threading.Thread | None = None
        self._next_at = clock() + settings.compact_every_seconds
        self._failed: set[date] = set()

    def start_if_due(self) -> None:
        """Begins compact_once() when the time has come and none is running."""
        is_running = self._thread is not None and self._thread.is_alive()
        if is_running or not self._settings.compact_every_seconds or self._clock() < self._next_at:
            return
        self._thread = threading.Thread(target=self._run, name="compaction", daemon=True)
        self._thread.start()

    def wait(self, timeout_seconds: float) -> None:
        """Until none is running, or the time is over."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        self._spark.sparkContext.setLocalProperty("spark.scheduler.pool", SCHEDULER_POOL)
        try:
            self.compact_once()
        except Exception:
            # Nothing was changed. Landing does not depend on it, and stops it in the middle when it stops.
            logger.warning("a compaction failed, the next one tries again", exc_info=True)
        finally:
            self._next_at = self._clock() + self._settings.compact_every_seconds

    def compact_once(self) -> Rewrite | None:
        """Compacts the date that needs it most; None when no date does. Raises what OpenDateRewriter.rewrite raises.

        A date that failed is left to the others until they have had their turn.
        """
        small_bytes = self._settings.compact_file_size_mb * 1024 * 1024
        first = first_open_date(self._now() + HANDOVER) if self._keeps_others_out else date.min
        small_files = Counter(
            file.event_date
            for file in list_files(self._storage)
            if file.event_date >= first and file.size_bytes < small_bytes
        )
        others = {day: count for day, count in small_files.items() if day not in self._failed}
        chosen = choose_date(others, self._settings.compact_min_files)
        if chosen is None:
            self._failed.clear()
            chosen = choose_date(small_files, self._settings.compact_min_files)
        if chosen is None:
            return None
        started = self._clock()
        self._failed.add(chosen)
        rewrite = self._rewriter.rewrite(
            chosen, smaller_than=small_bytes, target_bytes=self._settings.compact_target_bytes
        )
        self._failed.discard(chosen)
        logger.info(
            "compacted %s: %d small files became %d in %.1f s, batches waited %.2f",
            chosen,
            rewrite.files_before,
            rewrite.files_after,
            self._clock() - started,
            rewrite.locked_seconds,
        )
        return rewrite
