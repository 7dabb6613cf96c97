"""Counts of acknowledged events on their way to the acknowledgement ledger.

Counted after the broker's acknowledgement, written about once a second by one thread. While the ledger's store is away counts wait
in memory and ingestion goes on. A count whose writing failed halfway is dropped, because it may have been written: the ledger may be
short, never too high.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

Count = tuple[str, datetime, str, int]
log = structlog.get_logger(__name__)


class Ledger(Protocol):
    """Where counts are kept."""

    def probe(self) -> None:
        """Raises when the store cannot be reached."""
        ...

    def add(self, counts: Sequence[Count]) -> None:
        """Adds all counts or raises."""
        ...


class InMemoryLedger:
    """A ledger without a database; `available` false makes it unreachable."""

    def __init__(self) -> None:
        self.counts: list[Count] = []
        self.available = True

    def probe(self) -> None:
        """See Ledger."""
        if not self.available:
            raise ConnectionError("the ledger in memory was made unavailable")

    def add(self, counts: Sequence[Count]) -> None:
        """See Ledger."""
        self.counts += counts


class AcknowledgedCounts:
    """Adds up counts and flushes them to a ledger. `count` may be called from any thread."""

    def __init__(
        self,
        ledger: Ledger,
        flush_seconds: float = 1.0,
        on_count: Callable[[str, str, int], None] = lambda *_: None,
    ) -> None:
        self._ledger = ledger
        self._on_count = on_count
        self._flush_seconds = flush_seconds
        self._lock = threading.Lock()
        self._pending: dict[tuple[str, datetime, str], int] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.is_ledger_reachable = True
        self._hour = self._next_hour = datetime.min.replace(tzinfo=UTC)

    def count(self, app_id: str, received_at: datetime, topic: str, event_count: int) -> None:
        """Notes acknowledged events of one app and topic."""
        if event_count == 0:
            return
        with self._lock:
            if not self._hour <= received_at < self._next_hour:
                self._hour = received_at.replace(minute=0, second=0, microsecond=0)
                self._next_hour = self._hour + timedelta(hours=1)
            key = (app_id, self._hour, topic)
            self._pending[key] = self._pending.get(key, 0) + event_count
        self._on_count(app_id, topic, event_count)

    def start(self) -> None:
        """Starts the flushing thread."""
        self._thread = threading.Thread(target=self._run, name="acknowledged-counts", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Flushes what is left and ends the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def flush(self) -> None:
        """Writes what is pending; keeps it when the store cannot be reached."""
        try:
            self._ledger.probe()
        except Exception as error:  # noqa: BLE001 - any failure of the store means: keep counting, try again
            if self.is_ledger_reachable:
                log.warning("acknowledgement ledger is unreachable, counts wait in memory", error=type(error).__name__)
            self.is_ledger_reachable = False
            return
        self.is_ledger_reachable = True
        with self._lock:
            pending, self._pending = self._pending, {}
        if not pending:
            return
        try:
            self._ledger.add([(app_id, hour, topic, count) for (app_id, hour, topic), count in pending.items()])
        except Exception as error:  # noqa: BLE001 - it may or may not have been written: a retry could count twice
            log.error("counts dropped, their writing failed", dropped=sum(pending.values()), error=type(error).__name__)

    def _run(self) -> None:
        while not self._stopping.wait(self._flush_seconds):
            self.flush()
        self.flush()
