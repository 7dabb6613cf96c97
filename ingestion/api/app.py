"""The FastAPI application: parts put together, started and stopped in order. No environment is read here."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.responses import Response

from ingestion.api import openapi
from ingestion.api.answers import json_answer
from ingestion.api.auth import Authenticator, KeyFinder
from ingestion.api.broker_monitor import BrokerMonitor
from ingestion.api.connections import make_guard
from ingestion.api.edge import Edge
from ingestion.api.intake import Intake
from ingestion.api.ledger import AcknowledgedCounts, Ledger
from ingestion.api.metrics import Metrics
from ingestion.api.routes import make_router
from ingestion.contracts.clocks import format_utc
from ingestion.settings import IngestionSettings
from ingestion.sinks.sink import EventSink

SERVICE = "ingestion"
_STOP_SECONDS = 10.0


class PrometheusText(Response):
    """Metrics in Prometheus' text format."""

    media_type = "text/plain; version=0.0.4"


def now_utc() -> datetime:
    """The clock of the running service."""
    return datetime.now(UTC)


def create_app(
    settings: IngestionSettings,
    sink: EventSink,
    keys: KeyFinder,
    ledger: Ledger,
    *,
    first_day: date = date(2015, 1, 1),
    clock: Callable[[], datetime] = now_utc,
) -> FastAPI:
    """The application over the given parts, which it closes at its end."""
    metrics = Metrics()
    metrics.watch_queue(sink)
    counts = AcknowledgedCounts(ledger, settings.ledger_flush_seconds)
    monitor = BrokerMonitor(sink, settings.broker_check_seconds, metrics.note_broker)
    intake = Intake(
        sink,
        counts,
        metrics,
        first_day=first_day,
        live_topic=settings.live_topic,
        dead_letter_topic=settings.dead_letter_topic,
        event_max_bytes=settings.single_body_max_bytes,
    )
    authenticator = Authenticator(keys, allows_anonymous=settings.allows_anonymous)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        counts.start()
        monitor.start()
        try:
            yield
        finally:
            # Requests are answered by now: what is left in the queue belongs to clients that gave up.
            monitor.stop(_STOP_SECONDS)
            sink.close(_STOP_SECONDS)
            counts.stop(_STOP_SECONDS)

    app = FastAPIOffline(
        title="Tidemark ingestion",
        version="1",
        description="Send events; an answer of 2xx means that the broker has them.",
        lifespan=lifespan,
    )
    app.include_router(make_router(Edge(settings, authenticator, intake, monitor, metrics, clock)))
    _add_operations(app, monitor, counts, metrics, clock)
    openapi.install(app)
    app.state.connection_guard = make_guard(settings, metrics)
    return app


def _add_operations(
    app: FastAPI,
    monitor: BrokerMonitor,
    counts: AcknowledgedCounts,
    metrics: Metrics,
    clock: Callable[[], datetime],
) -> None:
    async def health() -> Response:
        """503 when events cannot be taken; degraded while only the database is away."""
        database = "connected" if counts.is_ledger_reachable else "disconnected"
        status = "unhealthy" if not monitor.is_reachable else "healthy" if database == "connected" else "degraded"
        body = {
            "status": status,
            "service": SERVICE,
            "timestamp": format_utc(clock()),
            "kafka": "connected" if monitor.is_reachable else "disconnected",
            "database": database,
            "detail": monitor.refusal,
        }
        return json_answer(503 if status == "unhealthy" else 200, body)

    async def prometheus() -> Response:
        """Prometheus text."""
        return PrometheusText(metrics.render())

    for path in ("/", "/health"):
        app.add_api_route(
            path,
            health,
            methods=["GET"],
            tags=["operations"],
            name=f"health_{path.strip('/')}",
            responses=openapi.HEALTH_RESPONSES,
        )
    app.add_api_route("/metrics", prometheus, methods=["GET"], tags=["operations"], response_class=PrometheusText)
