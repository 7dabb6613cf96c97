"""A hot store in memory: what the unit tests of consumers and readers use. It keeps to the same rules as the real ones."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime

from storage.hot_store.errors import StoreUnavailableError, UnstorableError
from storage.hot_store.events import ExpiredDay, HotEvent, HotKey, Position


class InMemoryHotStore:
    """See HotStore. `available` false refuses everything, `refuses` names events that can never be written."""

    def __init__(self, refuses: Callable[[HotEvent], bool] = lambda _: False) -> None:
        self.available = True
        self._refuses = refuses
        self._events: dict[tuple[str, str], HotEvent] = {}
        self._mutex = threading.Lock()

    def prepare(self) -> None:
        """See HotStore."""
        self._check()

    def write(self, events: Sequence[HotEvent]) -> int:
        """See HotStore."""
        self._check()
        if any(self._refuses(event) for event in events):
            raise UnstorableError("one of the events is refused")
        with self._mutex:
            before = len(self._events)
            for event in events:
                self._events.setdefault(event.key, event)
            return len(self._events) - before

    def holds(self, app_id: str, event_id: str) -> bool:
        """See HotStore."""
        self._check()
        return (app_id, event_id) in self._events

    def latest(self, app_id: str, limit: int, after: Position | None = None) -> list[HotEvent]:
        """See HotStore."""
        return self._list(lambda event: event.app_id == app_id, limit, after)

    def by_type(self, app_id: str, event_type: str, limit: int, after: Position | None = None) -> list[HotEvent]:
        """See HotStore."""
        return self._list(lambda event: (event.app_id, event.event_type) == (app_id, event_type), limit, after)

    def by_user(self, app_id: str, user_id: str, limit: int, after: Position | None = None) -> list[HotEvent]:
        """See HotStore."""
        return self._list(lambda event: (event.app_id, event.user_id) == (app_id, user_id), limit, after)

    def keys(self, since: datetime, until: datetime) -> Iterator[HotKey]:
        """See HotStore."""
        self._check()
        for event in list(self._events.values()):
            if since <= event.occurred_at < until:
                yield HotKey(event.app_id, event.event_id, event.kafka_partition, event.kafka_offset, event.occurred_at)

    def expired(self, before: date) -> list[ExpiredDay]:
        """See HotStore."""
        self._check()
        days = Counter(_day(event) for event in self._events.values() if _day(event) < before)
        return [ExpiredDay(day, count) for day, count in sorted(days.items())]

    def expire(self, before: date) -> list[ExpiredDay]:
        """See HotStore."""
        removed = self.expired(before)
        with self._mutex:
            self._events = {key: event for key, event in self._events.items() if _day(event) >= before}
        return removed

    def close(self) -> None:
        """See HotStore."""

    def _list(self, is_wanted: Callable[[HotEvent], bool], limit: int, after: Position | None) -> list[HotEvent]:
        self._check()
        found = [event for event in self._events.values() if is_wanted(event)]
        by_id = sorted(found, key=lambda event: event.event_id)
        ordered = sorted(by_id, key=lambda event: event.occurred_at, reverse=True)
        return [event for event in ordered if after is None or after.is_before(event.position)][:limit]

    def _check(self) -> None:
        if not self.available:
            raise StoreUnavailableError("the store in memory was made unavailable")


def _day(event: HotEvent) -> date:
    return event.occurred_at.astimezone(UTC).date()
