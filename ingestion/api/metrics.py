"""The ingestion API's metrics, in Prometheus text. One registry per app, so that tests and processes never share counters."""

from collections import Counter as Tally
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """Counters of events and a histogram of requests."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._accepted = Counter(
            "tidemark_ingestion_events_accepted", "Events acknowledged by the broker.", registry=self._registry
        )
        self._refused = Counter(
            "tidemark_ingestion_events_refused",
            "Events not accepted, by reason; those of reason not_delivered were not kept.",
            ["reason"],
            registry=self._registry,
        )
        self._requests = Histogram(
            "tidemark_ingestion_request_duration_seconds",
            "Time to answer, the broker's acknowledgement included.",
            ["route", "status"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self._registry,
        )
        self._timers: dict[tuple[str, int], Histogram] = {}
        self._broker = Gauge(
            "tidemark_ingestion_broker_reachable", "1 when the broker answered the last check.", registry=self._registry
        )

        self._connections = Gauge(
            "tidemark_ingestion_open_connections", "Connections to clients.", registry=self._registry
        )
        self._connections_refused = Counter(
            "tidemark_ingestion_connections_refused",
            "Connections ended by the server, by reason: too slow, too large, not HTTP.",
            ["reason"],
            registry=self._registry,
        )

    def note(self, accepted: int, refused_codes: Sequence[str]) -> None:
        """Counts the events of one request."""
        if accepted:
            self._accepted.inc(accepted)
        if refused_codes:
            for code, count in Tally(refused_codes).items():
                self._refused.labels(code).inc(count)

    def note_request(self, route: str, status: int, duration_seconds: float) -> None:
        """Times one request."""
        timer = self._timers.get((route, status))
        if timer is None:  # finding a child by its labels costs more than what it does
            timer = self._timers[route, status] = self._requests.labels(route, str(status))
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
        return generate_latest(self._registry)
