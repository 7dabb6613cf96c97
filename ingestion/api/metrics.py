"""The ingestion API's metrics, in Prometheus text. One registry per app, so that tests and processes never share counters. Those of every
request are kept without locks: they are noted, and rendered, on the event loop alone."""

from collections import Counter as Tally
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from ingestion.api.loop_metrics import LoopCounter, LoopHistogram, LoopTimer


@runtime_checkable
class Queue(Protocol):
    """A sink with a queue of its own."""

    @property
    def queued_records(self) -> int: ...
    @property
    def queued_bytes(self) -> int: ...


class Metrics:
    """Counters of events and a histogram of requests."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._accepted = LoopCounter(
            "tidemark_ingestion_events_accepted", "Events acknowledged by the broker.", self.registry
        )
        self._refused = Counter(
            "tidemark_ingestion_events_refused",
            "Events not accepted, by reason; those of reason not_delivered were not kept.",
            ["reason"],
            registry=self.registry,
        )
        self._requests = LoopHistogram(
            "tidemark_ingestion_request_duration_seconds",
            "Time to answer, the broker's acknowledgement included.",
            (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            self.registry,
            ["route", "status"],
        )
        self._timers: dict[tuple[str, int], LoopTimer] = {}
        self._broker = Gauge(
            "tidemark_ingestion_broker_reachable", "1 when the broker answered the last check.", registry=self.registry
        )

        self._requests_refused = Counter(
            "tidemark_ingestion_requests_refused",
            "Requests refused as a whole, by the code of their answer.",
            ["code"],
            registry=self.registry,
        )
        self._event_bytes = LoopCounter(
            "tidemark_ingestion_event_bytes", "Bytes of the events received, good or not.", self.registry
        )
        self._publish = LoopHistogram(
            "tidemark_ingestion_publish_duration_seconds",
            "From a request's first record given to the producer to the broker's last acknowledgement.",
            (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            self.registry,
        ).timer()
        self._queued = Gauge(
            "tidemark_ingestion_queued_records",
            "Records that wait for the broker's acknowledgement.",
            registry=self.registry,
        )
        self._queued_bytes = Gauge(
            "tidemark_ingestion_queued_bytes",
            "Bytes that wait for the broker's acknowledgement.",
            registry=self.registry,
        )
        self._connections = Gauge(
            "tidemark_ingestion_open_connections", "Connections to clients.", registry=self.registry
        )
        self._connections_refused = Counter(
            "tidemark_ingestion_connections_refused",
            "Connections ended by the server, by reason: too slow, too large, not HTTP.",
            ["reason"],
            registry=self.registry,
        )

    def note(self, accepted: int, refused_codes: Sequence[str]) -> None:
        """Counts the events of one request."""
        self._accepted.value += accepted
        if refused_codes:
            for code, count in Tally(refused_codes).items():
                self._refused.labels(code).inc(count)

    def note_publish(self, size_bytes: int, duration_seconds: float) -> None:
        """Counts the bytes of one request's events and times their way to the broker."""
        self._event_bytes.value += size_bytes
        self._publish.observe(duration_seconds)

    def watch_queue(self, sink: object) -> None:
        """Reads the sink's queue when metrics are asked for, if it has one."""
        if isinstance(sink, Queue):
            self._queued.set_function(lambda: sink.queued_records)
            self._queued_bytes.set_function(lambda: sink.queued_bytes)

    def note_refusal(self, code: str) -> None:
        """Counts one request that was refused as a whole."""
        self._requests_refused.labels(code).inc()

    def note_request(self, route: str, status: int, duration_seconds: float) -> None:
        """Times one request."""
        timer = self._timers.get((route, status))
        if timer is None:  # finding a child by its labels costs more than what it does
            timer = self._timers[route, status] = self._requests.timer(route, str(status))
        timer.observe(duration_seconds)

    def note_broker(self, is_reachable: bool) -> None:
        """Sets the broker gauge."""
        self._broker.set(1 if is_reachable else 0)

    def note_connection_refused(self, reason: str) -> None:
        """Counts one connection that the server ended."""
        self._connections_refused.labels(str(reason)).inc()

    def watch_connections(self, count: Callable[[], int]) -> None:
        """Reads the number of open connections when metrics are asked for."""
        self._connections.set_function(count)

    def render(self) -> bytes:
        """Prometheus text."""
        return generate_latest(self.registry)
