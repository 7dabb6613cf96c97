"""How many events an app may send per UTC day, over all its keys and all replicas.

What was used is the acknowledgement ledger's sum, read every two seconds, and what this replica accepted since. Requests are refused once
the quota is used up: the request that crosses it is still taken, and other replicas notice within their own two seconds and the ledger's
flush. While the ledger cannot be read, what is known counts on.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from time import monotonic
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)
_REFRESH_SECONDS = 2.0
_WAIT_SECONDS = 0.25
_MAX_APPS = 10_000


class UsageReader(Protocol):
    """Reads how many events an app had acknowledged since a moment. May block, may raise."""

    def used_since(self, app_id: str, start: datetime) -> int:
        """The number of events."""
        ...


class QuotaExceededError(Exception):
    """The day's events are used up; the next day begins after `retry_after_seconds`."""

    def __init__(self, max_events: int, retry_after_seconds: int) -> None:
        super().__init__(f"the app has sent its {max_events} events of this UTC day")
        self.max_events = max_events
        self.retry_after_seconds = retry_after_seconds


@dataclass
class _Usage:
    """Events of one app on one day; worth asking again at `stale_at`."""

    day: date
    events: int
    stale_at: float


class DailyQuota:
    """Refuses apps that used up their day. A quota of 0 switches it off."""

    def __init__(self, max_events: int, reader: UsageReader | None, clock: Callable[[], float] = monotonic) -> None:
        self.max_events = max_events
        self._reader = reader
        self._clock = clock
        self._usage: dict[str, _Usage] = {}

    def is_known_open(self, app_id: str, clock: Callable[[], datetime]) -> bool:
        """True when the app may send more by what was read a moment ago."""
        if self.max_events == 0:
            return True
        usage = self._usage.get(app_id)
        return (
            usage is not None
            and usage.events < self.max_events
            and self._clock() < usage.stale_at
            and usage.day == clock().date()
        )

    async def assure(self, app_id: str, now: datetime) -> None:
        """Returns when the app may send more. Raises: QuotaExceededError."""
        if self.max_events == 0:
            return
        usage = self._usage.get(app_id)
        if usage is None or usage.day != now.date() or self._clock() >= usage.stale_at:
            usage = await self._refresh(app_id, now.date())
        if usage.events >= self.max_events:
            midnight = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
            raise QuotaExceededError(self.max_events, max(1, round((midnight - now).total_seconds())))

    def note(self, app_id: str, event_count: int) -> None:
        """Adds what this replica accepted, from the event loop."""
        usage = self._usage.get(app_id)
        if usage is not None:
            usage.events += event_count

    async def _refresh(self, app_id: str, day: date) -> _Usage:
        known = self._usage.get(app_id)
        events = known.events if known is not None and known.day == day else 0
        if self._reader is not None:
            start = datetime.combine(day, time(), UTC)
            lookup = asyncio.to_thread(self._reader.used_since, app_id, start)
            try:
                # The ledger may lag behind what this replica knows: the larger number is nearer.
                events = max(events, await asyncio.wait_for(lookup, _WAIT_SECONDS))
            except Exception as error:  # noqa: BLE001 - any failure of the store means: go on with what is known
                log.warning("the day's events cannot be read", error=type(error).__name__)
        if len(self._usage) >= _MAX_APPS:
            self._usage.clear()
        usage = self._usage[app_id] = _Usage(day, events, self._clock() + _REFRESH_SECONDS)
        return usage
