"""The landing driver: `python -m streaming.jobs.land_bronze`. Runs until SIGTERM or SIGINT.

Exit codes: 0 stopped on request; 1 a query, Kafka or the JVM failed (start again, it goes on exactly where it was);
78 it must not start as things are (a person has to act; starting again cannot help).
"""

import logging
import os
import signal
import sys
import threading
from typing import Any

from pydantic import ValidationError

from runtime.aliases import log_conflicts
from runtime.logs import configure_logs
from runtime.settings import EXIT_CONFIGURATION, ProcessSettings, describe_invalid
from storage.settings import StorageSettings
from streaming.errors import (
    EXIT_FAILED,
    ConfigurationError,
    KafkaUnreachableError,
    LandingFailedError,
)
from streaming.progress import HEARTBEAT_NAME, HeartbeatThread, LandingProgress
from streaming.settings import StreamingSettings

logger = logging.getLogger("tidemark.land_bronze")

POLL_SECONDS = 0.5


def main() -> int:
    """Lands until asked to stop. Returns the exit code."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        storage, settings = StorageSettings(), StreamingSettings()
        configure_logs(HEARTBEAT_NAME, ProcessSettings().environment)
        log_conflicts(os.environ, StorageSettings, ProcessSettings)
    except ValidationError as error:
        configure_logs(HEARTBEAT_NAME, "production")
        logger.error("%s", describe_invalid(error))
        return EXIT_CONFIGURATION
    progress = LandingProgress()
    heartbeat = _start_heartbeat(storage, settings, progress)
    try:
        run(storage, settings, progress, stopping)
        return 0
    except ConfigurationError as error:
        progress.set_state("refused")
        logger.error("%s", error)
        return EXIT_CONFIGURATION
    except (KafkaUnreachableError, LandingFailedError) as error:
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
        logger.exception("landing failed")
        return EXIT_FAILED
    finally:
        heartbeat.stop()


def run(
    storage: StorageSettings, settings: StreamingSettings, progress: LandingProgress, stopping: threading.Event
) -> None:
    """Waits for Kafka, starts landing, and watches it until `stopping` is set."""
    from streaming.kafka_topics import EndOffsetReader, wait_for_topics
    from streaming.landing import Landing
    from streaming.session import build_spark, driver_process

    progress.set_state("waiting_for_kafka")
    topics = wait_for_topics(
        storage.kafka_bootstrap_servers,
        storage.topics.landed,
        timeout_seconds=settings.kafka_wait_seconds,
        is_stopping=stopping.is_set,
    )
    reader = EndOffsetReader(storage.kafka_bootstrap_servers, storage.topics.landed)
    ends = reader.read()
    reader.close()
    if stopping.is_set():
        return
    progress.set_state("starting")
    spark = build_spark(settings, "tidemark-land-bronze")
    # PySpark's own SIGINT handler cancels jobs and then raises in the middle of whatever runs.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    driver = driver_process(spark)
    landing = Landing(spark, storage, settings, progress)
    landing.start(topics, ends)
    logger.info("landing %s into %s", ", ".join(storage.topics.landed), landing.table.uri)
    while not stopping.wait(POLL_SECONDS):
        if driver is not None and driver.poll() is not None:
            raise LandingFailedError(f"the JVM ended with code {driver.returncode}")
        landing.check()
    is_clean = landing.stop()
    logger.info(
        "stopped %s", "between two batches" if is_clean else "in the middle of a batch, which the next start repeats"
    )
    spark.stop()


def _start_heartbeat(
    storage: StorageSettings, settings: StreamingSettings, progress: LandingProgress
) -> HeartbeatThread:
    from storage.control.engine import make_engine
    from storage.control.heartbeats import beat
    from streaming.kafka_topics import EndOffsetReader

    engine = make_engine(storage, pool_size=1)

    def write(details: dict[str, Any]) -> None:
        beat(engine, HEARTBEAT_NAME, details)

    thread = HeartbeatThread(
        progress,
        beat=write,
        read_ends=EndOffsetReader(storage.kafka_bootstrap_servers, storage.topics.landed).read,
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
