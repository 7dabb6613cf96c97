"""Watches from outside whether a consumer group gets on, partition by partition.

A member knows of its own partitions only: of one that nobody reads, none tells. So each asks the broker for all of the group's.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from runtime.kafka_clients import Consumer

TIMEOUT_MILLISECONDS = 10_000
EVERY_SECONDS = 20.0

Positions = Mapping[int, tuple[int, int]]
"""Partition → the offset at which the group goes on, and one past the last record."""

UNKNOWN: dict[str, Any] = {"lag": None, "waits_since": None, "standing": {}}
log = structlog.get_logger(__name__)


def read_positions(bootstrap_servers: str, group: str, topic: str) -> Positions:
    """Joins no group and commits nothing. Where the group has committed nothing, it would begin at the first record that is kept.

    Raises: KafkaError when the broker does not answer.
    """
    consumer = Consumer(
        bootstrap_servers=bootstrap_servers.split(","),
        group_id=group,
        enable_auto_commit=False,
        bootstrap_timeout_ms=TIMEOUT_MILLISECONDS,
        request_timeout_ms=TIMEOUT_MILLISECONDS,
    )
    try:
        places = consumer.places(topic)
        firsts = consumer.beginning_offsets(places, timeout_ms=TIMEOUT_MILLISECONDS) if places else {}
        committed = {place: consumer.committed(place, timeout_ms=TIMEOUT_MILLISECONDS) for place in places}
        ends = consumer.end_offsets(places, timeout_ms=TIMEOUT_MILLISECONDS) if places else {}
    finally:
        consumer.close(autocommit=False)
    return {place.partition: (max(committed[place] or 0, firsts[place]), ends[place]) for place in places}


class GroupWatch:
    """Looks every few seconds until stopped. One thread looks, others may call `details`.

    `read` may raise: while the broker does not answer, the lag is unknown and nothing waits.
    """

    def __init__(
        self, topic: str, read: Callable[[], Positions], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._topic = topic
        self._read = read
        self._clock = clock
        self._waiting: dict[int, tuple[int, datetime]] = {}
        """Partition with records that wait → the offset at which the group goes on, and since when it does."""
        self._details: dict[str, Any] = UNKNOWN

    def remember(self, details: Mapping[str, Any]) -> None:
        """The last heartbeat of the process before: one that fails again and again gets on no more than one that hangs."""
        for partition, (position, since) in details.get("standing", {}).items():
            self._waiting[int(partition)] = (position, datetime.fromisoformat(since))

    def start(self, stopping: threading.Event) -> None:
        """Looks at once and then at every interval, in a thread of its own, until stopped."""
        threading.Thread(target=self._run, args=(stopping,), name="group-watch", daemon=True).start()

    def _run(self, stopping: threading.Event) -> None:
        while True:
            self.look()
            if stopping.wait(EVERY_SECONDS):
                return

    def look(self) -> None:
        """One look."""
        try:
            positions = self._read()
        except Exception as error:  # noqa: BLE001 - a look that fails must not be the last one
            log.info("how far the group has come is not known", error=type(error).__name__)
            self._waiting, self._details = {}, UNKNOWN
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
            "waits_since": None if since is None else since.isoformat(),
            "standing": {str(at): [position, moment.isoformat()] for at, (position, moment) in self._waiting.items()},
        }

    def details(self) -> dict[str, Any]:
        """For the heartbeat: `lag`, records by topic, null while unknown; `waits_since`, since when the slowest partition stands.

        `standing`: by partition with records that wait, the offset at which the group goes on, and since when it does.
        """
        return self._details
