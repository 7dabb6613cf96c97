"""Rewrites many small files of a date as few larger ones, without changing a row. Runs between two batches.

It holds the writer's lock: its commit carries the newest landing metadata on, which must not be out of date when it is
written. So every run is bounded: one date, and only files below a size. Closed dates are left to streaming.jobs.compact_bronze, which
works beside landing, unless bronze is where two drivers cannot be kept apart.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pyspark.sql import SparkSession

from storage.bronze_files import first_open_date
from streaming.bronze_table import BronzeTable
from streaming.commit_lock import CommitLock
from streaming.commit_metadata import CommitMetadata
from streaming.settings import StreamingSettings

# Before the other driver takes a date for closed, this one is through with it.
HANDOVER = timedelta(hours=1)
logger = logging.getLogger(__name__)

USER_METADATA_OPTION = "spark.databricks.delta.commitInfo.userMetadata"


def choose_date(small_files: dict[str, list[int]], min_files: int) -> str | None:
    """The date with most small files, if that is enough of them; the earlier one of equals."""
    dates = [date for date, sizes in small_files.items() if len(sizes) >= min_files]
    return min(dates, key=lambda date: (-len(small_files[date]), date), default=None)


class Compactor:
    """Compacts one date at a time."""

    def __init__(
        self,
        spark: SparkSession,
        table: BronzeTable,
        lock: threading.Lock,
        commit_lock: CommitLock,
        read_newest: Callable[[], CommitMetadata | None],
        settings: StreamingSettings,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._spark = spark
        self._table = table
        self._lock = lock
        self._commit_lock = commit_lock
        self._read_newest = read_newest
        self._settings = settings
        self._clock = clock
        self._now = now
        self._next_at = clock() + settings.compact_every_seconds

    def compact_if_due(self) -> str | None:
        """compact_once() when the time has come."""
        if not self._settings.compact_every_seconds or self._clock() < self._next_at:
            return None
        try:
            return self.compact_once()
        finally:
            self._next_at = self._clock() + self._settings.compact_every_seconds

    def compact_once(self) -> str | None:
        """Compacts the date that needs it most and returns it; None when no date does."""
        small_files = self._table.list_small_files(self._settings.compact_file_size_mb * 1024 * 1024)
        if self._commit_lock.keeps_others_out:
            first = first_open_date(self._now() + HANDOVER).isoformat()
            small_files = {date: sizes for date, sizes in small_files.items() if date >= first}
        date = choose_date(small_files, self._settings.compact_min_files)
        if date is None:
            return None
        started = self._clock()
        with self._lock, self._commit_lock.hold():
            newest = self._read_newest()
            if newest is None:
                return None
            self._spark.conf.set(USER_METADATA_OPTION, newest.to_json())
            try:
                self._spark.sql(f"OPTIMIZE delta.`{self._table.uri}` WHERE event_date = '{date}'")
            finally:
                self._spark.conf.unset(USER_METADATA_OPTION)
        logger.info("compacted %s: %d small files in %.1f s", date, len(small_files[date]), self._clock() - started)
        return date
