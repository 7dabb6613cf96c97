"""Four grains of live windows against the minutes alone: `python -m benchmarks.live_windows [--records N]`.

Both sides count the same records of a fresh broker by the live windows' own query into PostgreSQL. Ours also reads 5 minutes, hours and the
day of every breakdown whenever a batch was written, which is what keeping them would be for. Minutes are the only thing that is stored:
roll-ups cost what reading them costs. Rounds alternate, the first of each side is not counted. Prints one JSON line: seconds, median.
"""

import argparse
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import report
from ingestion.contracts import headers
from ingestion.contracts.clocks import format_utc
from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC
from ingestion.generators import StreamPlan
from ingestion.generators.downloads import DownloadStream
from ingestion.generators.engagement import EngagementStream

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from sqlalchemy import Engine

    from storage.settings import StorageSettings
    from streaming.settings import StreamingSettings

TARGET_RATIO = 1.4
ROUNDS = 4
TIMEOUT_SECONDS = 300


def main() -> int:
    """Exit code 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    records = parser.parse_args().records
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as folder:
        return 0 if measure(Path(folder), records) else 1


def measure(folder: Path, records: int) -> bool:
    """Runs both sides alternately."""
    from local_stack.broker import running_broker
    from local_stack.jars import ensure_jars
    from local_stack.postgres import running_postgres
    from local_stack.topics import create_topics
    from storage.control import make_engine, migrate
    from storage.settings import StorageSettings
    from streaming.session import build_spark
    from streaming.settings import StreamingSettings

    with running_broker(folder / "broker") as bootstrap, running_postgres(folder / "postgres") as url:
        create_topics(bootstrap)
        storage = StorageSettings(database_url=url, kafka_bootstrap_servers=bootstrap)
        migrate(storage)
        engine = make_engine(storage)
        settings = StreamingSettings(
            jars=":".join(str(jar) for jar in ensure_jars().spark),
            scratch_dir=str(folder / "scratch"),
            windows_checkpoint_dir=str(folder / "checkpoints"),
            windows_trigger_seconds=0.1,
            windows_max_offsets=max(1000, records // 8),
        ).of_windows()
        produce(bootstrap, records)
        spark = build_spark(settings, "tidemark-bench")
        times: dict[bool, list[float]] = {True: [], False: []}
        for round_ in range(2 * (ROUNDS + 1)):
            with_grains = bool(round_ % 2)
            times[with_grains].append(count_once(spark, engine, storage, settings, with_grains=with_grains))
        spark.stop()
        engine.dispose()
    ours, other = (statistics.median(times[side][1:]) for side in (True, False))
    return report("live_windows_four_grains", ours, other, TARGET_RATIO, "lower", "s", records=records, rounds=ROUNDS)


def produce(bootstrap: str, records: int) -> None:
    """Engagement and downloads of the last five minutes, half each."""
    from confluent_kafka import Producer

    now = datetime.now(UTC)
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "queue.buffering.max.messages": 1_000_000})
    plan = StreamPlan(records // 2, now - timedelta(minutes=5), 1, records / 2 / 290)
    for stream, contract in ((EngagementStream(plan), "engagement/1"), (DownloadStream(plan), "download/1")):
        for place, line in enumerate(stream):
            occurred = now - timedelta(minutes=5) + timedelta(seconds=290 * place / (records // 2))
            stamps = [
                (headers.SPEC_VERSION, headers.SPEC_VERSION_VALUE),
                (headers.EVENT_ID, f"{contract}-{place}".encode()),
                (headers.SOURCE, b"bench"),
                (headers.EVENT_TYPE, b"view" if contract == "engagement/1" else b"download"),
                (headers.OCCURRED_AT, format_utc(occurred).encode()),
                (headers.DATA_SCHEMA, contract.encode()),
                (headers.RECEIVED_AT, format_utc(occurred).encode()),
            ]
            producer.produce(LIVE_TOPIC, line.raw, f"u{place % 5000}".encode(), headers=stamps)
            producer.poll(0)
    producer.flush()


def count_once(
    spark: "SparkSession",
    engine: "Engine",
    storage: "StorageSettings",
    settings: "StreamingSettings",
    *,
    with_grains: bool,
) -> float:
    """Seconds from the start of a new checkpoint until every record is in the tables, and read where `with_grains`."""
    from storage.live.state import WINDOWS_QUERY, begin_generation, open_state
    from streaming.kafka_topics import EndOffsetReader, wait_for_topics
    from streaming.live_run import LiveRun, LiveSource

    begin_generation(engine, WINDOWS_QUERY, open_state(engine).generation + 1, {}, datetime(2000, 1, 1, tzinfo=UTC))
    topics = wait_for_topics(storage.kafka_bootstrap_servers, (LIVE_TOPIC,), timeout_seconds=30)
    reader = EndOffsetReader(storage.kafka_bootstrap_servers, (LIVE_TOPIC,))
    ends = reader.read()[LIVE_TOPIC]
    run = LiveRun(spark, engine, storage, settings, LiveSource(LIVE_TOPIC, DEAD_LETTER_TOPIC))
    started, last_batch = time.monotonic(), None
    run.start(topics[LIVE_TOPIC], reader.read)
    is_done = False
    while not is_done:
        counted = run.progress.offsets.get(LIVE_TOPIC, {})
        is_done = all(counted.get(partition, 0) >= end for partition, end in ends.items())
        batch = open_state(engine).last_batch
        if with_grains and batch != last_batch:
            read_grains(engine)
        last_batch = batch
        run.check()
        if time.monotonic() - started > TIMEOUT_SECONDS:
            raise TimeoutError(f"not counted within {TIMEOUT_SECONDS} s")
        time.sleep(0.02)
    seconds = time.monotonic() - started
    run.stop()
    reader.close()
    return seconds


def read_grains(engine: "Engine") -> None:
    """Everything above a minute, of the running day."""
    from storage.live.breakdowns import KEY_NAMES
    from storage.live.minutes import Grain, read_windows

    end = datetime.now(UTC) + timedelta(minutes=1)
    for breakdown in KEY_NAMES:
        for grain in (Grain.FIVE_MINUTES, Grain.HOUR, Grain.DAY):
            read_windows(engine, breakdown, grain, end - timedelta(days=1), end)


if __name__ == "__main__":
    sys.exit(main())
