"""What a hot store can do. Three keep to it: PostgreSQL, DynamoDB, and one in memory for tests of what stands above."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Protocol

from storage.hot_store.events import ExpiredDay, HotEvent, HotKey, Position


class HotStore(Protocol):
    """Safe to use from several threads. Every method raises StoreUnavailableError when the store does not answer.

    Lists are one app's: newest first by occurred_at, those of one moment by event id. `after` is the position of the last one that the
    caller has seen. No list is ever shortened because of an error.
    """

    def prepare(self) -> None:
        """Makes what is missing and may be made by a writer. Idempotent."""
        ...

    def write(self, events: Sequence[HotEvent]) -> int:
        """How many of them were not there before. The first copy of a key stays as it is, also between writers at the same moment.

        Keys must differ within the call. Raises: UnstorableError.
        """
        ...

    def holds(self, app_id: str, event_id: str) -> bool:
        """Whether that event is there, whichever day it is of."""
        ...

    def latest(self, app_id: str, limit: int, after: Position | None = None) -> list[HotEvent]:
        """The newest events."""
        ...

    def by_type(self, app_id: str, event_type: str, limit: int, after: Position | None = None) -> list[HotEvent]:
        """The newest events of a type."""
        ...

    def by_user(self, app_id: str, user_id: str, limit: int, after: Position | None = None) -> list[HotEvent]:
        """The newest events of a user."""
        ...

    def keys(self, since: datetime, until: datetime) -> Iterator[HotKey]:
        """Every event with occurred_at in [since, until), in no order."""
        ...

    def expired(self, before: date) -> list[ExpiredDay]:
        """What `expire` would remove now, oldest first."""
        ...

    def expire(self, before: date) -> list[ExpiredDay]:
        """Removes the days before `before` and tells what it removed. Idempotent."""
        ...

    def close(self) -> None:
        """Lets go of connections. Idempotent."""
        ...
