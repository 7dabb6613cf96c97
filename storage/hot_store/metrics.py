"""Counts and times what is asked of a hot store, for whoever holds one. Labels: the operation and the outcome, nothing of the data."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram

from storage.hot_store.errors import StoreUnavailableError, UnstorableError
from storage.hot_store.events import ExpiredDay, HotEvent, HotKey, Position
from storage.hot_store.store import HotStore


class HotStoreMetrics:
    """The metrics of one process's hot store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "tidemark_hot_store_requests",
            "Calls of the hot store by operation (write, latest, by_type, by_user) and outcome (ok, unavailable, refused).",
            ["operation", "outcome"],
            registry=registry,
        )
        self.events = Counter(
            "tidemark_hot_store_events",
            "Events written (given to the store, copies included) and read, by operation.",
            ["operation"],
            registry=registry,
        )
        self.durations = Histogram(
            "tidemark_hot_store_request_duration_seconds",
            "Time of one call of the hot store.",
            ["operation"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )

    @contextmanager
    def observed(self, operation: str) -> Iterator[None]:
        """Times one call and counts its outcome."""
        started, outcome = time.perf_counter(), "ok"
        try:
            yield
        except UnstorableError:
            outcome = "refused"
            raise
        except StoreUnavailableError:
            outcome = "unavailable"
            raise
        finally:
            self.durations.labels(operation).observe(time.perf_counter() - started)
            self.requests.labels(operation, outcome).inc()


class MeteredHotStore:
    """A hot store whose writes and lists are counted; see HotStore."""

    def __init__(self, store: HotStore, metrics: HotStoreMetrics) -> None:
        self._store = store
        self._metrics = metrics

    def prepare(self) -> None:
        """See HotStore."""
        self._store.prepare()

    def write(self, events: Sequence[HotEvent]) -> int:
        """See HotStore."""
        with self._metrics.observed("write"):
            count = self._store.write(events)
        self._metrics.events.labels("write").inc(len(events))
        return count

    def holds(self, app_id: str, event_id: str) -> bool:
        """See HotStore."""
        return self._store.holds(app_id, event_id)

    def latest(self, app_id: str, limit: int, after: Position | None = None) -> list[HotEvent]:
        """See HotStore."""
        with self._metrics.observed("latest"):
            return self._read("latest", self._store.latest(app_id, limit, after))

    def by_type(self, app_id: str, event_type: str, limit: int, after: Position | None = None) -> list[HotEvent]:
        """See HotStore."""
        with self._metrics.observed("by_type"):
            return self._read("by_type", self._store.by_type(app_id, event_type, limit, after))

    def by_user(self, app_id: str, user_id: str, limit: int, after: Position | None = None) -> list[HotEvent]:
        """See HotStore."""
        with self._metrics.observed("by_user"):
            return self._read("by_user", self._store.by_user(app_id, user_id, limit, after))

    def keys(self, since: datetime, until: datetime) -> Iterator[HotKey]:
        """See HotStore."""
        return self._store.keys(since, until)

    def expired(self, before: date) -> list[ExpiredDay]:
        """See HotStore."""
        return self._store.expired(before)

    def expire(self, before: date) -> list[ExpiredDay]:
        """See HotStore."""
        return self._store.expire(before)

    def close(self) -> None:
        """See HotStore."""
        self._store.close()

    def _read(self, operation: str, events: list[HotEvent]) -> list[HotEvent]:
        self._metrics.events.labels(operation).inc(len(events))
        return events
