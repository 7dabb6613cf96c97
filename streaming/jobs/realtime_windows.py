"""The driver of the live windows: `python -m streaming.jobs.realtime_windows`. Runs until SIGTERM or SIGINT. Exit codes: streaming.driver.

A process of its own: PostgreSQL being away, a checkpoint that is refused, or native memory of its state must not touch landing.
"""

import json
import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ingestion.contracts import download
from ingestion.contracts.avro_wire import decodable
from ingestion.contracts.formats import avro
from ingestion.contracts.registry import CONTRACTS
from ingestion.contracts.topics import TopicNames
from storage.live.state import WINDOWS_QUERY
from storage.settings import StorageSettings
from streaming.driver import POLL_SECONDS, catch_signals, drive, leave
from streaming.errors import WindowsFailedError
from streaming.live_progress import LiveProgress
from streaming.settings import StreamingSettings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from streaming.live_run import LiveSource

logger = logging.getLogger("tidemark.realtime_windows")

SCHEMA_LOOK_SECONDS = 5.0


def main() -> int:
    """Counts until asked to stop. Returns the exit code."""
    return drive(WINDOWS_QUERY, LiveProgress(), run, lambda storage: (storage.topics.live,))


def run(
    storage: StorageSettings, settings: StreamingSettings, progress: LiveProgress, stopping: threading.Event
) -> None:
    """Waits for Kafka, starts the query, and watches it until `stopping` is set."""
    from sqlalchemy.exc import OperationalError

    from storage.control.engine import make_engine
    from streaming.kafka_topics import EndOffsetReader, wait_for_topics
    from streaming.live_run import LiveRun
    from streaming.session import build_spark, driver_process

    settings, topic = settings.of_windows(), storage.topics.live
    progress.set_state("waiting_for_kafka")
    topics = wait_for_topics(
        storage.kafka_bootstrap_servers,
        (topic,),
        timeout_seconds=settings.kafka_wait_seconds,
        is_stopping=stopping.is_set,
    )
    if stopping.is_set():
        return
    progress.set_state("starting")
    spark = build_spark(settings, "tidemark-realtime-windows")
    catch_signals(stopping)
    driver = driver_process(spark)
    engine = make_engine(storage, pool_size=2)
    reader = EndOffsetReader(storage.kafka_bootstrap_servers, (topic,))
    source = make_source(engine, storage.topics)
    live = LiveRun(spark, engine, storage, settings, source, progress)
    live.start(topics[topic], reader.read)
    logger.info("counting %s", topic)
    look_at = time.monotonic() + SCHEMA_LOOK_SECONDS
    while not stopping.wait(POLL_SECONDS):
        if driver is not None and driver.poll() is not None:
            raise WindowsFailedError(f"the JVM ended with code {driver.returncode}")
        live.check()
        if time.monotonic() >= look_at:
            look_at = time.monotonic() + SCHEMA_LOOK_SECONDS
            known = source
            with suppress(OperationalError):  # asked again at the next look
                source = make_source(engine, storage.topics)
            if source != known:
                logger.info("an Avro schema was registered; going on with it")
                live.restart_with(source, topics[topic], reader.read)
    is_clean = live.stop()
    logger.info("stopped %s", "between two batches" if is_clean else "in a batch, which the next start repeats")
    reader.close()
    spark.stop()


def make_source(engine: "Engine", names: TopicNames) -> "LiveSource":
    """The topic, and the schemas that Avro downloads may have by the registry."""
    from storage.control.schema_registry import all_texts
    from streaming.live_run import LiveSource

    writers = {number: decodable(text) for number, text in all_texts(engine).items()}
    return LiveSource(
        names.live,
        names.dead_letters,
        json.dumps(decodable(json.dumps(avro.schema(CONTRACTS[download.CONTRACT])))),
        {number: json.dumps(schema) for number, schema in writers.items() if schema is not None},
    )


if __name__ == "__main__":
    leave(main())
