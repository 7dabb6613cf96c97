"""`python -m ingestion.api`: the service under uvicorn. Reads the environment, once.

SIGTERM lets requests in flight finish, waits for the producer's queue and writes the last counts.
"""

import asyncio
import gc
import os

import uvicorn
from starlette.types import ASGIApp

from ingestion.api.app import SharedParts, create_app
from ingestion.api.experiments import PostgresExperiments
from ingestion.api.postgres import PostgresBuckets, PostgresLedger, PostgresUsage, PostgresUsedKeys
from ingestion.api.rate_limit import RatePolicy
from ingestion.schema_registry.service import SchemaRegistry
from ingestion.schema_registry.store import PostgresRegistryStore
from ingestion.settings import IngestionSettings
from ingestion.sinks.kafka import KafkaSink, KafkaSinkSettings
from runtime.aliases import log_conflicts
from runtime.logs import configure_logs
from runtime.settings import exit_on_invalid_settings
from storage.control.engine import make_engine
from storage.control.keys import KeyRing
from storage.control.token_settings import TokenSettings
from storage.control.tokens import make_tokens
from storage.settings import StorageSettings


def sink_settings(settings: IngestionSettings, storage: StorageSettings) -> KafkaSinkSettings:
    """The producer's settings for the API."""
    return KafkaSinkSettings(
        bootstrap_servers=storage.kafka_bootstrap_servers,
        checked_topic=storage.topics.live,
        message_timeout_seconds=settings.message_timeout_seconds,
        publish_timeout_seconds=settings.request_timeout_seconds,
        linger_milliseconds=settings.linger_milliseconds,
        max_queued_records=settings.queue_max_records,
        max_queued_bytes=settings.queue_max_bytes,
    )


def serve(app: ASGIApp, protocol: type[asyncio.Protocol], settings: IngestionSettings) -> None:
    """Runs `app` behind `protocol` until SIGTERM or SIGINT."""
    # A request of a thousand events holds some ten thousand tuples until the broker answers; with the default threshold the
    # collector walks them, and all imported modules, again and again: a quarter of the time (measured). None of it is in cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=protocol,
        ws="none",
        limit_concurrency=settings.max_connections,
        log_config=None,
        access_log=False,
        server_header=False,
        # Addresses are limited: nobody may choose theirs by X-Forwarded-For.
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(settings.request_timeout_seconds) + 2,
    )


def main() -> None:
    """Builds the real parts and serves."""
    with exit_on_invalid_settings():
        settings, storage, tokens = IngestionSettings(), StorageSettings(), TokenSettings()
    configure_logs("ingestion", settings.environment)
    log_conflicts(os.environ, IngestionSettings, StorageSettings)
    engine = make_engine(storage)
    shared = SharedParts(
        buckets=PostgresBuckets(engine, RatePolicy(settings.rate_limit_requests)),
        usage=PostgresUsage(engine, storage.topics.dead_letters, storage.topics.imports),
        used_keys=PostgresUsedKeys(engine),
        tokens=make_tokens(tokens),
    )
    app = create_app(
        settings,
        KafkaSink(sink_settings(settings, storage)),
        KeyRing(engine),
        PostgresLedger(engine),
        experiments=PostgresExperiments(engine),
        first_day=storage.first_day,
        topics=storage.topics,
        schema_registry=SchemaRegistry(PostgresRegistryStore(engine)),
        shared=shared,
    )
    serve(app, app.state.protocol, settings)


if __name__ == "__main__":
    main()
