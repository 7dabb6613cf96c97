"""Prometheus metrics of the analytics API, and the ASGI layer that times every request. One registry per app, none global."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.publications import Publication

KNOWN_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ServingMetrics:
    """What is counted. Names are `tidemark_serving_<name>_<unit>`."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.registry = CollectorRegistry()
        self.request_seconds = Histogram(
            "tidemark_serving_request_duration_seconds",
            "Time to answer a request, waiting for a worker included.",
            ["method", "route", "status"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.query_seconds = Histogram(
            "tidemark_serving_query_duration_seconds",
            "Time to make an answer in a worker, without waiting for one.",
            ["query"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.not_modified = Counter(
            "tidemark_serving_not_modified", "Requests answered 304.", ["query"], registry=self.registry
        )
        self.switches = Counter(
            "tidemark_serving_publication_switches", "New publications sent to readers.", registry=self.registry
        )
        self.publication_id = Gauge(
            "tidemark_serving_publication_id",
            "The publication that readers get; 0 before the first.",
            registry=self.registry,
        )
        age = Gauge(
            "tidemark_serving_snapshot_age_seconds",
            "Seconds since the publication that readers get was made; NaN before the first.",
            registry=self.registry,
        )
        self._published_at_seconds = float("nan")
        age.set_function(lambda: now() - self._published_at_seconds)

    def note_switch(self, publication: Publication) -> None:
        """Readers get this publication from here on."""
        self.switches.inc()
        self.publication_id.set(publication.publication_id)
        self._published_at_seconds = publication.published_at.timestamp()

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class RequestMeter:
    """ASGI layer: observes every HTTP request by route and adds `X-Process-Time` (seconds)."""

    def __init__(self, app: ASGIApp, metrics: ServingMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_timed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                elapsed = f"{time.perf_counter() - started:.6f}".encode()
                message = {**message, "headers": [*message.get("headers", []), (b"x-process-time", elapsed)]}
            await send(message)

        try:
            await self._app(scope, receive, send_timed)
        finally:
            # A path that matched no route is one label: clients must not be able to make series.
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"] if scope["method"] in KNOWN_METHODS else "other"
            self._metrics.request_seconds.labels(method, route, str(status)).observe(time.perf_counter() - started)
