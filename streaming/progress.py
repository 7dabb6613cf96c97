"""Tells the control database how landing is doing: state, lag per topic, rows per second, last batch of each query.

A thread of its own, so that a slow batch still beats. It outlives PostgreSQL and Kafka being away: landing needs neither
for its correctness, and a missing beat is what the health sensor looks for.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from streaming.commit_metadata import Offsets, format_instant
from streaming.writers import LandedBatch

logger = logging.getLogger(__name__)

HEARTBEAT_NAME = "land_bronze"
RATE_WINDOW_SECONDS = 30.0


class Waiting:
    """Since when records wait without the end of a batch: a driver that hangs beats as before, and this is what tells. Not thread-safe."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._since: datetime | None = None

    def remember(self, since: str | None) -> None:
        """What the process before told last: one that fails again and again gets on no more than one that hangs."""
        self._since = None if since is None else datetime.fromisoformat(since)

    def note_batch(self, finished_at: datetime) -> None:
        """A batch has ended: whatever waits does so from now on."""
        if self._since is not None:
            self._since = finished_at

    def note_lag(self, lag: Mapping[str, int] | None) -> str | None:
        """Since when, as the heartbeat tells it; None where nothing waits or Kafka does not say."""
        if lag is None or not any(lag.values()):
            self._since = None
        elif self._since is None:
            self._since = self._clock()
        return None if self._since is None else format_instant(self._since)


class LandingProgress:
    """What the writer reports, kept for the heartbeat. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, waiting: Waiting | None = None) -> None:
        self._clock = clock
        self._waiting = waiting or Waiting()
        self._mutex = threading.Lock()
        self._state = "starting"
        self._landed: Offsets = {}
        self._last_batches: dict[str, LandedBatch] = {}
        self._recent: deque[tuple[float, int]] = deque()
        self._started = clock()

    def set_state(self, state: str) -> None:
        """starting, waiting_for_kafka, running, stopping, refused or failed."""
        with self._mutex:
            self._state = state

    def remember(self, details: Mapping[str, Any]) -> None:
        """The last heartbeat of the process before."""
        with self._mutex:
            self._waiting.remember(details.get("waits_since"))

    def set_landed(self, landed: Offsets) -> None:
        """How far bronze is, before the first batch of this process."""
        with self._mutex:
            self._landed = landed

    def record_batch(self, batch: LandedBatch, landed: Offsets) -> None:
        """A committed batch, and how far bronze is by it."""
        with self._mutex:
            self._last_batches[batch.query] = batch
            self._waiting.note_batch(batch.finished_at)
            self._landed = landed
            self._recent.append((self._clock(), batch.row_count))

    def describe(self, ends: Mapping[str, Mapping[int, int]] | None) -> dict[str, Any]:
        """The heartbeat's details. `ends` are Kafka's ends; without them the lag is null, not zero."""
        with self._mutex:
            now = self._clock()
            while self._recent and self._recent[0][0] < now - RATE_WINDOW_SECONDS:
                self._recent.popleft()
            window = max(1.0, min(RATE_WINDOW_SECONDS, now - self._started))
            lag = None if ends is None else count_lag(ends, self._landed)
            return {
                "state": self._state,
                "pid": os.getpid(),
                "rows_per_second": round(sum(rows for _, rows in self._recent) / window, 1),
                "lag": lag,
                "waits_since": self._waiting.note_lag(lag),
                "landed": {topic: {str(p): o for p, o in of.items()} for topic, of in self._landed.items()},
                "last_batches": {
                    name: {
                        "batch_id": batch.batch_id,
                        "rows": batch.row_count,
                        "duration_seconds": round(batch.duration_seconds, 3),
                        "finished_at": format_instant(batch.finished_at),
                    }
                    for name, batch in self._last_batches.items()
                },
            }


def count_lag(ends: Mapping[str, Mapping[int, int]], landed: Offsets) -> dict[str, int]:
    """Records per topic that Kafka holds and bronze does not."""
    return {
        topic: sum(max(0, end - landed.get(topic, {}).get(partition, -1) - 1) for partition, end in of.items())
        for topic, of in ends.items()
    }


class Progress(Protocol):
    """What a driver tells of itself. Safe to use from several threads."""

    def set_state(self, state: str, /) -> None:
        """starting, waiting_for_kafka, running, stopping, refused or failed."""

    def remember(self, details: Mapping[str, Any], /) -> None:
        """The last heartbeat of the process before."""

    def describe(self, ends: Mapping[str, Mapping[int, int]] | None, /) -> dict[str, Any]:
        """The heartbeat's details."""


class HeartbeatThread(threading.Thread):
    """Calls `beat` with the details until stopped. `read_ends` may raise; so may `beat`."""

    def __init__(
        self,
        progress: Progress,
        *,
        beat: Callable[[dict[str, Any]], None],
        read_ends: Callable[[], Mapping[str, Mapping[int, int]]],
        every_seconds: float,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._progress = progress
        self._beat = beat
        self._read_ends = read_ends
        self._every_seconds = every_seconds
        self._stopped = threading.Event()
        self._failing: set[str] = set()

    def run(self) -> None:
        """Beats at once, then at every interval."""
        while True:
            self.beat_once()
            if self._stopped.wait(self._every_seconds):
                return

    def stop(self) -> None:
        """Ends the thread after one last beat."""
        self._stopped.set()
        self.join(timeout=10)
        self.beat_once()

    def beat_once(self) -> None:
        """One beat. A failure is logged when it begins and when it ends, not at each beat."""
        ends = self._attempt("kafka", self._read_ends)
        self._attempt("database", lambda: self._beat(self._progress.describe(ends)))

    def _attempt(self, what: str, action: Callable[[], Any]) -> Any:
        try:
            result = action()
        except Exception as error:  # noqa: BLE001 - a heartbeat must never end the driver
            if what not in self._failing:
                logger.warning("heartbeat cannot reach %s: %s", what, str(error).splitlines()[:1])
            self._failing.add(what)
            return None
        if what in self._failing:
            logger.warning("heartbeat reaches %s again", what)
            self._failing.discard(what)
        return result
