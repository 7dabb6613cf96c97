"""The FastAPI application: parts put together, started and stopped in order. No environment is read here."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.responses import Response

from ingestion.api import openapi
from ingestion.api.answers import json_answer
from ingestion.api.auth import Authenticator, KeyFinder, TokenVerifier
from ingestion.api.avro import AvroWay
from ingestion.api.broker_monitor import BrokerMonitor
from ingestion.api.connections import make_guard
from ingestion.api.direct import DirectRoutes
from ingestion.api.edge import Edge
from ingestion.api.error_handlers import answer_unexpected, install_error_handlers
from ingestion.api.experiment_routes import make_experiment_router
from ingestion.api.experiments import ExperimentRegistry, ExperimentStore, InMemoryExperiments
from ingestion.api.guard import Guard
from ingestion.api.idempotency import UsedKeys
from ingestion.api.intake import Intake
from ingestion.api.ledger import AcknowledgedCounts, Ledger
from ingestion.api.metrics import Metrics
from ingestion.api.quota import DailyQuota, UsageReader
from ingestion.api.rate_limit import RateLimiter, RatePolicy, TokenSource
from ingestion.api.routes import Routes
from ingestion.contracts.clocks import format_utc
from ingestion.contracts.topics import TopicNames
from ingestion.schema_registry.own_contracts import OwnContracts
from ingestion.schema_registry.routes import make_registry_router
from ingestion.schema_registry.service import SchemaRegistry
from ingestion.schema_registry.store import InMemoryRegistryStore
from ingestion.settings import IngestionSettings
from ingestion.sinks.sink import EventSink
from runtime.express import express_protocol

SERVICE = "ingestion"
_STOP_SECONDS = 10.0


class PrometheusText(Response):
    """Metrics in Prometheus' text format."""

    media_type = "text/plain; version=0.0.4"


def now_utc() -> datetime:
    """The clock of the running service."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class SharedParts:
    """What replicas share, and who else vouches for callers. Each may be left out."""

    buckets: TokenSource | None = None
    usage: UsageReader | None = None
    used_keys: UsedKeys | None = None
    tokens: TokenVerifier | None = None


def create_app(
    settings: IngestionSettings,
    sink: EventSink,
    keys: KeyFinder,
    ledger: Ledger,
    *,
    experiments: ExperimentStore | None = None,
    first_day: date = date(2015, 1, 1),
    topics: TopicNames = TopicNames(),
    clock: Callable[[], datetime] = now_utc,
    schema_registry: SchemaRegistry | None = None,
    shared: SharedParts = SharedParts(),
) -> FastAPI:
    """The application over the given parts, which it closes at its end. Without `shared` parts it limits by itself,
    without a store it keeps experiments and schemas in memory.
    """
    metrics = Metrics()
    metrics.watch_queue(sink)
    limiter = RateLimiter(RatePolicy(settings.rate_limit_requests), shared.buckets)
    quota = DailyQuota(settings.daily_quota_events, shared.usage)

    def note_quota(app_id: str, topic: str, event_count: int) -> None:
        if topic != topics.dead_letters:
            quota.note(app_id, event_count)

    counts = AcknowledgedCounts(ledger, settings.ledger_flush_seconds, note_quota)
    monitor = BrokerMonitor(sink, settings.broker_check_seconds, metrics.note_broker)
    experiment_registry = ExperimentRegistry(experiments or InMemoryExperiments())
    intake = Intake(
        sink,
        counts,
        metrics,
        first_day=first_day,
        live_topic=topics.live,
        dead_letter_topic=topics.dead_letters,
        event_max_bytes=settings.single_body_max_bytes,
        variants_of=experiment_registry.variants_of,
    )
    authenticator = Authenticator(keys, allows_anonymous=settings.allows_anonymous, tokens=shared.tokens)
    guard = Guard(authenticator, limiter, quota, clock)
    schemas = schema_registry or SchemaRegistry(InMemoryRegistryStore())
    own_contracts = OwnContracts(schemas, topics.downloads)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        counts.start()
        monitor.start()
        limiter.start()
        experiment_registry.start()
        own_contracts.start()
        try:
            yield
        finally:
            limiter.stop()
            # Requests are answered by now: what is left in the queue belongs to clients that gave up.
            own_contracts.stop(_STOP_SECONDS)
            monitor.stop(_STOP_SECONDS)
            sink.close(_STOP_SECONDS)
            counts.stop(_STOP_SECONDS)
            experiment_registry.stop(_STOP_SECONDS)

    app = FastAPIOffline(
        title="Tidemark ingestion",
        version="1",
        description="Send events; an answer of 2xx means that the broker has them.",
        lifespan=lifespan,
    )
    edge = Edge(settings, guard, intake, monitor, metrics, clock, shared.used_keys)
    routes = Routes(edge, AvroWay(edge, schemas.find_text))
    app.include_router(routes.router)
    app.include_router(make_experiment_router(experiment_registry, guard, metrics, clock, settings.retry_after_seconds))
    app.include_router(make_registry_router(schemas, guard))
    _add_operations(app, monitor, counts, metrics, clock)
    install_error_handlers(app)
    openapi.install(app)
    app.state.protocol = express_protocol(make_guard(settings, metrics), routes.express)
    # In front of all middleware: FastAPI's own three layers cost a twelfth of a request with one event (measured).
    app.middleware_stack = DirectRoutes(app.build_middleware_stack(), routes.direct, answer_unexpected)
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
