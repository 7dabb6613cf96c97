"""A worker's loop: read, write, and only then commit.

MUST: an offset is committed after everything before it is in the hot store, or a dead letter that the broker has acknowledged, or too old
to be kept. So a crash at any point leaves records to be read again, never records that are lost; what is written twice is there once.

While the store or the dead letters are away, the worker keeps its partitions and its batch, commits nothing, and goes on by itself.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from runtime.crash_points import CrashPoint, reach
from storage.hot_store.errors import HotStoreError, StoreUnavailableError
from storage.hot_store.store import HotStore
from streaming.hot_store.batches import Batch, Handler, Outcome
from streaming.hot_store.dead_letters import DeadLetterError
from streaming.hot_store.metrics import WorkerMetrics
from streaming.hot_store.source import RecordSource

POLL_SECONDS = 0.2
FIRST_RETRY_SECONDS = 0.1
HOLD_SECONDS = 0.5
PREPARE_EVERY_SECONDS = 3600.0
log = structlog.get_logger(__name__)


class Worker:
    """Moves records from a source to a hot store. One thread runs it; others may read `state`."""

    def __init__(
        self,
        source: RecordSource,
        store: HotStore,
        handler: Handler,
        metrics: WorkerMetrics,
        *,
        batch_max_records: int,
        gather_seconds: float,
        retry_max_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._store = store
        self._handler = handler
        self._metrics = metrics
        self._batch_max_records = batch_max_records
        self._gather_seconds = gather_seconds
        self._retry_max_seconds = retry_max_seconds
        self._clock = clock
        self._prepared_at: float | None = None
        self._uncommitted: dict[int, int] = {}
        """Partition → the offset at which to go on, of commits that failed."""
        self.state = "starting"
        """starting, running, store_unavailable or stopping."""

    def run(self, stopping: threading.Event) -> None:
        """Works until asked to stop; the batch under way is finished first, unless the store is away."""
        while not stopping.is_set():
            self._prepare()
            records = self._source.poll(POLL_SECONDS)
            self._metrics.partitions.set(len(self._source.assigned()))
            if records:
                self._finish(Batch(records), stopping)
                if len(records) < self._batch_max_records:
                    stopping.wait(self._gather_seconds)
            else:
                self.state = "running"
                self._commit_again()
            self._metrics.lag.set(self._source.lag())
        self.state = "stopping"

    def _finish(self, batch: Batch, stopping: threading.Event) -> None:
        """Handles the batch, as often as it takes, and commits it."""
        pause = FIRST_RETRY_SECONDS
        while batch.records:
            try:
                outcome = self._handler.handle(batch)
            except (StoreUnavailableError, DeadLetterError) as error:
                self._note_outage(error, len(batch.records))
                if not self._hold(batch, pause, stopping):
                    return  # nothing is committed: whoever is next does it again
                self._metrics.lag.set(self._source.lag())
                pause = min(pause * 2, self._retry_max_seconds)
                continue
            if self.state == "store_unavailable":
                log.info("the batch is through", record_count=len(batch.records))
            self.state = "running"
            self._count(outcome)
            reach(CrashPoint.HOT_STORE_HANDLED)
            self._commit(batch.ends())
            break
        self._source.resume()

    def _commit(self, ends: dict[int, int]) -> None:
        if self._source.commit(ends):
            self._uncommitted = {number: end for number, end in self._uncommitted.items() if number not in ends}
        else:
            self._metrics.commit_failures.inc()
            self._uncommitted |= ends

    def _commit_again(self) -> None:
        """What could not be committed, in partitions that nothing has come to since: everything before it is durable."""
        assigned = self._source.assigned()
        self._uncommitted = {number: end for number, end in self._uncommitted.items() if number in assigned}
        if self._uncommitted:
            self._commit(dict(self._uncommitted))

    def _hold(self, batch: Batch, seconds: float, stopping: threading.Event) -> bool:
        """Waits without reading on; False when a stop was asked for."""
        until = self._clock() + seconds
        while not stopping.is_set():
            left = until - self._clock()
            batch.records += self._source.hold(max(0.0, min(left, HOLD_SECONDS)))
            batch.keep(self._source.assigned())
            if left <= 0:
                return True
        return False

    def _note_outage(self, error: Exception, record_count: int) -> None:
        cause = "dead_letters" if isinstance(error, DeadLetterError) else "store"
        self._metrics.retries.labels(cause).inc()
        if self.state != "store_unavailable":
            log.warning("records wait", cause=cause, record_count=record_count, error=str(error))
        self.state = "store_unavailable"

    def _prepare(self) -> None:
        """Has the store make what the next days need, now and then. A write makes what it needs by itself."""
        now = self._clock()
        if self._prepared_at is not None and now - self._prepared_at < PREPARE_EVERY_SECONDS:
            return
        self._prepared_at = now
        try:
            self._store.prepare()
        except HotStoreError as error:
            log.warning("the hot store is not prepared", error=str(error))

    def _count(self, outcome: Outcome) -> None:
        counts = self._metrics.records.labels
        counts("written").inc(outcome.written_count)
        counts("copy").inc(outcome.copy_count)
        counts("expired").inc(outcome.expired_count)
        counts("dead_letter").inc(outcome.letters.total())
        for reason, count in outcome.letters.items():
            self._metrics.dead_letters.labels(reason.value).inc(count)
        now = datetime.now(UTC)
        for event in outcome.visible:
            self._metrics.visible.observe((now - event.received_at).total_seconds())
