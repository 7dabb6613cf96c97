"""The class archive of Spark's drivers: what they load, read and verified once at set-up instead of at every start.

Java's own class data sharing. Java finds out itself whether an archive fits it and the class path, which is this checkout's; one that does
not is passed over. It is what a JVM had loaded at its end after it did once what drivers do, over servers of its own. Run as
a program, it writes the archive. Measured in decision 34.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.errors import LocalStackError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from storage.settings import StorageSettings
    from streaming.settings import StreamingSettings

REHEARSED_EVENTS = 200
TIMEOUT_SECONDS = 120.0
LOOK_SECONDS = 0.05


def archive_file() -> Path:
    """Where the archive is, or would be: in the environment whose jars it was made of."""
    return Path(sys.prefix) / "spark-classes.jsa"


def write_archive(target: Path) -> None:
    """Writes the archive anew. Takes a minute on two processors, a third of it at the end of the JVM.

    Raises: LocalStackError, TimeoutError or what Spark raises; there is no archive then.
    """
    target.unlink(missing_ok=True)
    unfinished = target.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="tidemark-classes-") as folder:
        driver = _rehearse(Path(folder), f'"-XX:ArchiveClassesAtExit={unfinished}" -Xlog:cds*=error')
        driver.wait(TIMEOUT_SECONDS)
    if not unfinished.exists():
        raise LocalStackError("Java wrote no archive at its end")
    unfinished.rename(target)


def _rehearse(folder: Path, java_option: str) -> "subprocess.Popen[bytes]":
    """Lands and counts a few events over a broker and a database of its own. Returns the JVM, which is ending."""
    from local_stack.broker import running_broker
    from local_stack.environment import FIRST_COMPILER_ALONE
    from local_stack.jars import ensure_jars
    from local_stack.postgres import running_postgres
    from local_stack.topics import create_topics
    from storage.control import migrate
    from storage.settings import StorageSettings
    from streaming.session import build_spark
    from streaming.settings import StreamingSettings

    with running_broker(folder / "broker") as bootstrap, running_postgres(folder / "postgres") as url:
        create_topics(bootstrap)
        storage = StorageSettings(
            database_url=url, kafka_bootstrap_servers=bootstrap, bronze_uri=str(folder / "bronze" / "events")
        )
        migrate(storage)
        settings = StreamingSettings(
            jars=":".join(str(jar) for jar in ensure_jars().spark),
            driver_java_options=f"{FIRST_COMPILER_ALONE} {java_option}",
            scratch_dir=str(folder / "scratch"),
            checkpoint_dir=str(folder / "landing"),
            windows_checkpoint_dir=str(folder / "windows"),
            trigger_seconds=0.1,
            windows_trigger_seconds=0.1,
        )
        _produce(storage)
        spark = build_spark(settings, "tidemark-class-archive")
        _land(spark, storage, settings)
        _count(spark, storage, settings.of_windows())
        gateway: Any = spark.sparkContext._gateway
        spark.stop()
        gateway.shutdown()
        driver: subprocess.Popen[bytes] = gateway.proc
        assert driver.stdin is not None
        driver.stdin.close()  # PySpark's JVM ends with it
        return driver


def _produce(storage: "StorageSettings") -> None:
    """Events of the two families that live windows break down."""
    from confluent_kafka import Producer

    from ingestion.contracts.validation import Validator, ValidEvent
    from ingestion.generators import EngagementStream, StreamPlan
    from ingestion.generators.downloads import DownloadStream
    from ingestion.sinks.records import Stamper

    now = datetime.now(UTC)
    validator = Validator(now, storage.first_day)
    stamper = Stamper("rehearsal", now, topic=storage.live_topic, dead_letter_topic=storage.dead_letter_topic)
    plan = StreamPlan(REHEARSED_EVENTS // 2, now, 1, REHEARSED_EVENTS)
    producer = Producer({"bootstrap.servers": storage.kafka_bootstrap_servers, "acks": "all"})
    for stream in (EngagementStream(plan), DownloadStream(plan)):
        for number, line in enumerate(stream):
            event = validator.judge(line.raw)
            if isinstance(event, ValidEvent):
                record = stamper.stamp(line.raw, event, f"{event.contract}-{number}")
                producer.produce(record.topic, record.value, record.key, headers=record.headers)
    producer.flush(TIMEOUT_SECONDS)


def _land(spark: "SparkSession", storage: "StorageSettings", settings: "StreamingSettings") -> None:
    from streaming.kafka_topics import wait_for_topics
    from streaming.landing import Landing

    names = storage.topics.landed
    topics = wait_for_topics(storage.kafka_bootstrap_servers, names, timeout_seconds=TIMEOUT_SECONDS)
    ends = _read_ends(storage, names)
    landing = Landing(spark, storage, settings)
    landing.start(topics, lambda: ends)
    live = ends[storage.live_topic].items()
    _wait(
        lambda: all(landing.landed().get(storage.live_topic, {}).get(part, -1) + 1 >= end for part, end in live),
        landing.check,
    )
    landing.stop()


def _count(spark: "SparkSession", storage: "StorageSettings", settings: "StreamingSettings") -> None:
    from storage.control import make_engine
    from streaming.kafka_topics import wait_for_topics
    from streaming.live_run import LiveRun, LiveSource

    topic = storage.live_topic
    topics = wait_for_topics(storage.kafka_bootstrap_servers, (topic,), timeout_seconds=TIMEOUT_SECONDS)
    engine = make_engine(storage)
    run = LiveRun(spark, engine, storage, settings, LiveSource(topic, storage.dead_letter_topic))
    run.start(topics[topic], lambda: _read_ends(storage, (topic,)))
    live = _read_ends(storage, (topic,))[topic].items()
    _wait(lambda: all(run.progress.offsets.get(topic, {}).get(part, 0) >= end for part, end in live), run.check)
    run.stop()
    engine.dispose()


def _read_ends(storage: "StorageSettings", topics: tuple[str, ...]) -> dict[str, dict[int, int]]:
    from storage.settlement import read_end_offsets

    return read_end_offsets(storage, topics)


def _wait(is_done: Callable[[], bool], check: Callable[[], None]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not is_done():
        check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"not done in {TIMEOUT_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)


def main() -> int:
    """Writes the archive. Without one everything works, more slowly: a failure is told, and the set-up goes on."""
    # What a caller has set is about the stack that he wants, not about this one.
    for name in [name for name in os.environ if name.startswith("TIDEMARK_") and name != "TIDEMARK_CACHE"]:
        del os.environ[name]
    try:
        write_archive(archive_file())
    except Exception as error:  # noqa: BLE001 - whatever it is, the set-up can do without
        sys.stderr.write(f"no class archive, Spark starts more slowly: {type(error).__name__}: {error}\n")
        return 1
    size = archive_file().stat().st_size / 1024**2
    sys.stdout.write(f"class archive of {size:.0f} MiB in {archive_file()}\n")
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # py4j's callback threads may wait for a JVM that is gone
