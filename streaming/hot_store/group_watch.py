"""Watches from outside whether the consumer group gets on, partition by partition.

A worker knows of its own partitions only: of one that nobody reads, none tells. So each asks the broker for all of the group's.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from kafka.errors import KafkaError

from streaming.commit_metadata import format_instant

Positions = Mapping[int, tuple[int, int]]
"""Partition → the offset at which the group goes on, and one past the last record."""

log = structlog.get_logger(__name__)


class GroupWatch:
    """Looks every few seconds until stopped. One thread looks, others may call `details`.

    `read` may raise KafkaError or OSError: while the broker does not answer, the lag is unknown and nothing waits.
    """

    def __init__(
        self, topic: str, read: Callable[[], Positions], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._topic = topic
        self._read = read
        self._clock = clock
        self._waiting: dict[int, tuple[int, datetime]] = {}
        """Partition with records that wait → the offset at which the group goes on, and since when it does."""
        self._details: dict[str, Any] = {"lag": None, "waits_since": None}

    def run(self, stopping: threading.Event, every_seconds: float) -> None:
        """Looks at once, then at every interval."""
        while True:
            self.look()
            if stopping.wait(every_seconds):
                return

    def look(self) -> None:
        """One look."""
        try:
            positions = self._read()
        except (KafkaError, OSError) as error:
            log.info("the group's offsets are not known", error=type(error).__name__)
            self._waiting, self._details = {}, {"lag": None, "waits_since": None}
            return
        now, before = self._clock(), self._waiting
        self._waiting = {}
        for partition, (position, end) in positions.items():
            if position < end:
                earlier = before.get(partition)
                self._waiting[partition] = earlier if earlier and earlier[0] == position else (position, now)
        since = min((moment for _, moment in self._waiting.values()), default=None)
        self._details = {
            "lag": {self._topic: sum(max(0, end - position) for position, end in positions.values())},
            "waits_since": None if since is None else format_instant(since),
        }

    def details(self) -> dict[str, Any]:
        """For the heartbeat: `lag`, records by topic, null while unknown; `waits_since`, since when the slowest partition stands."""
        return self._details
