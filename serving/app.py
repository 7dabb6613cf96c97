"""Puts the analytics API together. Nothing is opened before the app starts, and everything is closed when it stops."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

import anyio.to_thread
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from serving.answers import AnswerMaker
from serving.authentication import Authenticator, KeyFinder, TokenVerifier
from serving.catalog import PublicationCatalog, StoredPublications
from serving.errors import install_error_handlers
from serving.health import HealthChecker
from serving.metrics import RequestMeter, ServingMetrics
from serving.operations import add_operations_routes
from serving.publication_diff import DiffMaker
from serving.queries import read_sql
from serving.rest import add_analytics_routes, add_publication_routes
from serving.services import Services, Workers
from serving.settings import ServingSettings
from serving.snapshots import SnapshotPool
from storage.control import make_engine
from storage.control.keys import KeyRing
from storage.settings import StorageSettings

DESCRIPTION = """Numbers from one published snapshot of the lake. Every answer names its publication and can be asked for again
with `?publication=`; send back the `ETag` as `If-None-Match` and an unchanged answer is 304."""


def utc_now() -> datetime:
    """The time of the request."""
    return datetime.now(UTC)


def read_version() -> str:
    """The installed version; a checkout that is not installed is `0.0.0+source`."""
    try:
        return installed_version("tidemark")
    except PackageNotFoundError:
        return "0.0.0+source"


def create_app(
    settings: ServingSettings,
    storage: StorageSettings,
    *,
    now: Callable[[], datetime] = utc_now,
    catalog: PublicationCatalog | None = None,
    keys: KeyFinder | None = None,
    tokens: TokenVerifier | None = None,
) -> FastAPI:
    """The app. `now` ends relative ranges; `catalog` and `keys` default to the ones in PostgreSQL. Without `tokens`, only keys."""
    services = _make_services(settings, storage, now=now, catalog=catalog, keys=keys, tokens=tokens)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await anyio.to_thread.run_sync(services.pool.start)
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(services.workers.close)
            await anyio.to_thread.run_sync(services.pool.close)
            services.health.engine.dispose()

    app = FastAPIOffline(
        title="Tidemark analytics", version=services.version, description=DESCRIPTION, lifespan=lifespan
    )
    app.state.services = services
    app.add_middleware(RequestMeter, metrics=services.metrics)
    install_error_handlers(app)
    add_analytics_routes(app)
    add_publication_routes(app)
    add_operations_routes(app)
    return app


def _make_services(
    settings: ServingSettings,
    storage: StorageSettings,
    *,
    now: Callable[[], datetime],
    catalog: PublicationCatalog | None,
    keys: KeyFinder | None,
    tokens: TokenVerifier | None,
) -> Services:
    engine = make_engine(storage)
    version = read_version()
    used_catalog = catalog or StoredPublications(engine)
    metrics = ServingMetrics()
    pool = SnapshotPool(
        storage.model_copy(
            update={"duckdb_memory_limit": settings.duckdb_memory_limit, "duckdb_threads": settings.duckdb_threads}
        ),
        used_catalog,
        capacity=settings.attached_snapshots,
        poll_seconds=settings.poll_seconds,
        query_timeout_seconds=settings.query_timeout_seconds,
        probe_sql=read_sql("probe"),
        on_switch=metrics.note_switch,
    )
    answers = AnswerMaker(pool, version=version, cache_entries=settings.answer_cache_entries)
    return Services(
        settings=settings,
        pool=pool,
        catalog=used_catalog,
        authenticator=Authenticator(
            keys or KeyRing(engine, refresh_seconds=settings.key_refresh_seconds), settings.is_public_readable, tokens
        ),
        answers=answers,
        diffs=DiffMaker(pool, answers),
        health=HealthChecker(engine, pool, version),
        metrics=metrics,
        workers=Workers(settings.query_workers, settings.max_waiting_queries),
        now=now,
        version=version,
    )
