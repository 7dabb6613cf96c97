"""The lock around commits to bronze. Two drivers write it: landing, and the compaction of closed dates.

On a local disk Delta looks for the name of its next log file and then renames, in two steps: the second of two drivers would replace the
first one's commit. So each holds this lock while it commits, and no longer. An object store has no locks: there one driver may write.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

from streaming.errors import CommitLockError
from streaming.files import Files, is_local, resolve_uri

# Readers of Delta, and VACUUM, pass over names that begin so.
LOCK_NAME = "_commit.lock"
POLL_SECONDS = 0.002


class CommitLock:
    """The lock of one bronze table. The JVM holds it, so that it outlives a Python that is killed as long as the JVM may still commit."""

    def __init__(
        self,
        spark: SparkSession,
        table_uri: str,
        *,
        timeout_seconds: float = 60,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = Files(spark)
        self._root = resolve_uri(table_uri)
        self._timeout_seconds = timeout_seconds
        self._sleep = sleep
        self._clock = clock

    @property
    def keeps_others_out(self) -> bool:
        """Whether `hold` can keep another driver from committing."""
        return is_local(self._root)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Waits for the other driver's commit and keeps it from the next. Does nothing where there are no locks.

        Raises: CommitLockError when the other holds it for longer than the timeout.
        """
        if not self.keeps_others_out:
            yield
            return
        self._files.make_folder(self._root)
        path = f"{self._root}/{LOCK_NAME}"
        deadline = self._clock() + self._timeout_seconds
        while (lock := self._files.try_lock(path)) is None:
            if self._clock() >= deadline:
                raise CommitLockError(f"another driver has held {path} for {self._timeout_seconds} s; try again")
            self._sleep(POLL_SECONDS)
        try:
            yield
        finally:
            self._files.unlock(lock)
