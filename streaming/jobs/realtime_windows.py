"""The driver of the live windows: `python -m streaming.jobs.realtime_windows`. Runs until SIGTERM or SIGINT.

A process of its own: PostgreSQL being away, a checkpoint that is refused, or native memory of its state must not touch landing.
Exit codes as of streaming.jobs.land_bronze.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ingestion.contracts import download
from ingestion.contracts.avro_wire import decodable
from ingestion.contracts.formats import avro
from ingestion.contracts.registry import CONTRACTS
from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC
from runtime.aliases import log_conflicts
from runtime.logs import configure_logs
from runtime.settings import ProcessSettings
from storage.live.state import WINDOWS_QUERY
from storage.settings import StorageSettings
from streaming.errors import (
    EXIT_CONFIGURATION,
    EXIT_FAILED,
    ConfigurationError,
    KafkaUnreachableError,
    WindowsFailedError,
)
from streaming.live_progress import LiveProgress
from streaming.progress import HeartbeatThread
from streaming.settings import StreamingSettings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from streaming.live_run import LiveSource

logger = logging.getLogger("tidemark.realtime_windows")

POLL_SECONDS = 0.5
SCHEMA_LOOK_SECONDS = 5.0


def main() -> int:
    """Counts until asked to stop. Returns the exit code."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        storage, settings = StorageSettings(), StreamingSettings().of_windows()
        configure_logs(WINDOWS_QUERY, ProcessSettings().environment)
        log_conflicts(os.environ, StorageSettings, ProcessSettings)
    except ValidationError as error:
        configure_logs(WINDOWS_QUERY, "production")
        logger.error("settings are not valid: %s", "; ".join(str(e["loc"]) + " " + e["msg"] for e in error.errors()))
        return EXIT_CONFIGURATION
    progress = LiveProgress()
    heartbeat = _start_heartbeat(storage, settings, progress)
    try:
        run(storage, settings, progress, stopping)
        return 0
    except ConfigurationError as error:
        progress.set_state("refused")
        logger.error("%s", error)
        return EXIT_CONFIGURATION
    except (KafkaUnreachableError, WindowsFailedError) as error:
        if stopping.is_set():
            return 0
        progress.set_state("failed")
        logger.error("%s", error)
        return EXIT_FAILED
    except Exception:
        if stopping.is_set():
            logger.warning("the JVM ended before the stop was complete; the next start repeats the open batch")
            return 0
        progress.set_state("failed")
        logger.exception("live windows failed")
        return EXIT_FAILED
    finally:
        heartbeat.stop()


def run(
    storage: StorageSettings, settings: StreamingSettings, progress: LiveProgress, stopping: threading.Event
) -> None:
    """Waits for Kafka, starts the query, and watches it until `stopping` is set."""
    from storage.control.engine import make_engine
    from streaming.kafka_topics import EndOffsetReader, wait_for_topics
    from streaming.live_run import LiveRun
    from streaming.session import build_spark, driver_process

    progress.set_state("waiting_for_kafka")
    topics = wait_for_topics(
        storage.kafka_bootstrap_servers,
        (LIVE_TOPIC,),
        timeout_seconds=settings.kafka_wait_seconds,
        is_stopping=stopping.is_set,
    )
    if stopping.is_set():
        return
    progress.set_state("starting")
    spark = build_spark(settings, "tidemark-realtime-windows")
    # PySpark's own SIGINT handler cancels jobs and then raises in the middle of whatever runs.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    driver = driver_process(spark)
    engine = make_engine(storage, pool_size=2)
    reader = EndOffsetReader(storage.kafka_bootstrap_servers, (LIVE_TOPIC,))
    source = make_source(engine)
    live = LiveRun(spark, engine, storage, settings, source, progress)
    live.start(topics[LIVE_TOPIC], reader.read)
    logger.info("counting %s", LIVE_TOPIC)
    look_at = time.monotonic() + SCHEMA_LOOK_SECONDS
    while not stopping.wait(POLL_SECONDS):
        if driver is not None and driver.poll() is not None:
            raise WindowsFailedError(f"the JVM ended with code {driver.returncode}")
        live.check()
        if time.monotonic() >= look_at:
            look_at = time.monotonic() + SCHEMA_LOOK_SECONDS
            if (found := make_source(engine)) != source:
                logger.info("an Avro schema was registered; going on with it")
                source = found
                live.restart_with(source, topics[LIVE_TOPIC], reader.read)
    is_clean = live.stop()
    logger.info("stopped %s", "between two batches" if is_clean else "in a batch, which the next start repeats")
    reader.close()
    spark.stop()


def make_source(engine: "Engine") -> "LiveSource":
    """The topic, and the schemas that Avro downloads may have by the registry."""
    from storage.control.schema_registry import all_texts
    from streaming.live_run import LiveSource

    writers = {number: decodable(text) for number, text in all_texts(engine).items()}
    return LiveSource(
        LIVE_TOPIC,
        DEAD_LETTER_TOPIC,
        json.dumps(decodable(json.dumps(avro.schema(CONTRACTS[download.CONTRACT])))),
        {number: json.dumps(schema) for number, schema in writers.items() if schema is not None},
    )


def _start_heartbeat(storage: StorageSettings, settings: StreamingSettings, progress: LiveProgress) -> HeartbeatThread:
    from storage.control.engine import make_engine
    from storage.control.heartbeats import beat
    from streaming.kafka_topics import EndOffsetReader

    engine = make_engine(storage, pool_size=1)

    def write(details: dict[str, Any]) -> None:
        beat(engine, WINDOWS_QUERY, details)

    thread = HeartbeatThread(
        progress,
        beat=write,
        read_ends=EndOffsetReader(storage.kafka_bootstrap_servers, (LIVE_TOPIC,)).read,
        every_seconds=settings.heartbeat_seconds,
    )
    thread.start()
    return thread


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    # Not sys.exit: py4j's callback threads may wait for a JVM that is gone.
    os._exit(code)
