"""The landing driver: `python -m streaming.jobs.land_bronze`. Runs until SIGTERM or SIGINT. Exit codes: streaming.driver."""

import logging
import threading

from storage.settings import StorageSettings
from streaming.driver import POLL_SECONDS, catch_signals, drive, leave
from streaming.errors import LandingFailedError
from streaming.progress import HEARTBEAT_NAME, LandingProgress
from streaming.settings import StreamingSettings

logger = logging.getLogger("tidemark.land_bronze")


def main() -> int:
    """Lands until asked to stop. Returns the exit code."""
    return drive(HEARTBEAT_NAME, LandingProgress(), run, lambda storage: storage.topics.landed)


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
    if stopping.is_set():
        return
    progress.set_state("starting")
    spark = build_spark(settings, "tidemark-land-bronze")
    catch_signals(stopping)
    driver = driver_process(spark)
    reader = EndOffsetReader(storage.kafka_bootstrap_servers, storage.topics.landed)
    landing = Landing(spark, storage, settings, progress)
    landing.start(topics, reader.read)
    reader.close()
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


if __name__ == "__main__":
    leave(main())
