"""`python -m ingestion.api`: the service under uvicorn. Reads the environment, once.

SIGTERM lets requests in flight finish, waits for the producer's queue and writes the last counts.
"""

import gc
import os

import uvicorn
from fastapi import FastAPI

from ingestion.api.app import create_app
from ingestion.api.postgres import PostgresLedger
from ingestion.settings import IngestionSettings
from ingestion.sinks.kafka import KafkaSink, KafkaSinkSettings
from runtime.aliases import log_conflicts
from runtime.logs import configure_logs
from storage.control.engine import make_engine
from storage.control.keys import KeyRing
from storage.settings import StorageSettings


def sink_settings(settings: IngestionSettings, bootstrap_servers: str) -> KafkaSinkSettings:
    """The producer's settings for the API."""
    return KafkaSinkSettings(
        bootstrap_servers=bootstrap_servers,
        checked_topic=settings.live_topic,
        message_timeout_seconds=settings.message_timeout_seconds,
        publish_timeout_seconds=settings.request_timeout_seconds,
        linger_milliseconds=settings.linger_milliseconds,
        max_queued_records=settings.queue_max_records,
        max_queued_bytes=settings.queue_max_bytes,
    )


def serve(app: FastAPI, settings: IngestionSettings) -> None:
    """Runs `app` until SIGTERM or SIGINT."""
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
        http=app.state.connection_guard.protocol(),
        ws="none",
        limit_concurrency=settings.max_connections,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(settings.request_timeout_seconds) + 2,
    )


def main() -> None:
    """Builds the real parts and serves."""
    settings, storage = IngestionSettings(), StorageSettings()
    configure_logs("ingestion", settings.environment)
    log_conflicts(os.environ, IngestionSettings, StorageSettings)
    engine = make_engine(storage)
    app = create_app(
        settings,
        KafkaSink(sink_settings(settings, storage.kafka_bootstrap_servers)),
        KeyRing(engine),
        PostgresLedger(engine),
        first_day=storage.first_day,
    )
    serve(app, settings)


if __name__ == "__main__":
    main()
