"""Bronze landing against the same plan into Spark's `noop` sink: `python -m benchmarks.bronze_landing [--records N]`.

Both sides are streaming queries over the same records, with the same batches, transform and checkpointing; they differ in the
write alone. Rounds alternate, and the first ones are not counted: a JVM that has not compiled its loops yet is several times
slower. Prints one JSON line: rows per second, median of the rounds; the ratio is the median of the rounds' own ratios, since the
machine's speed changes from round to round by more than the two sides differ.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingestion.contracts import headers
from ingestion.contracts.clocks import format_utc
from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC, TopicNames
from ingestion.generators import EngagementStream, StreamPlan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from streaming.settings import StreamingSettings

TARGET_RATIO = 0.8
WARM_UP_ROUNDS = 3
ROUNDS = 15
DISTINCT_EVENTS = 100_000
# Each round is a query with consumers of its own. Spark keeps them, and what they have fetched, for five minutes after its end: enough
# for a dozen rounds to fill the heap, and to measure the garbage collector.
FORGET_CONSUMERS = " ".join(
    f"-Dspark.kafka.consumer.{cache}={seconds}s"
    for cache, seconds in {
        "cache.timeout": 3,
        "cache.evictorThreadRunInterval": 2,
        "fetchedData.cache.timeout": 3,
        "fetchedData.cache.evictorThreadRunInterval": 2,
    }.items()
)


def main() -> int:
    """Exit code 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=500_000)
    records = parser.parse_args().records
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as folder:
        result = measure(Path(folder), records)
    print(json.dumps(result))
    return 0 if result["ok"] else 1


def measure(folder: Path, records: int) -> dict[str, Any]:
    """Runs both sides alternately over `records` records of a fresh broker."""
    from local_stack.broker import running_broker
    from local_stack.jars import ensure_jars
    from local_stack.topics import create_topics
    from streaming.session import build_spark
    from streaming.settings import StreamingSettings

    jars = ":".join(str(jar) for jar in ensure_jars().spark)
    settings = StreamingSettings(
        jars=jars, checkpoint_dir=str(folder / "checkpoints"), trigger_seconds=0.1, driver_java_options=FORGET_CONSUMERS
    )
    (folder / "broker").mkdir()
    with running_broker(folder / "broker") as bootstrap:
        create_topics(bootstrap)
        produce(bootstrap, records)
        spark = build_spark(settings, "tidemark-bench")
        rates: dict[str, list[float]] = {"delta": [], "noop": []}
        for number in range(WARM_UP_ROUNDS + ROUNDS):
            for side in ("noop", "delta") if number % 2 else ("delta", "noop"):
                rate = records / run_side(spark, settings, bootstrap, folder / f"{side}-{number}", side)
                print(f"round {number} {side}: {rate:,.0f} rows/s", file=sys.stderr)
                if number >= WARM_UP_ROUNDS:
                    rates[side].append(rate)
        spark.stop()
    ratios = sorted(round(ours / other, 3) for ours, other in zip(rates["delta"], rates["noop"], strict=True))
    ratio = statistics.median(ratios)
    return {
        "name": "bronze_landing",
        "ours": round(statistics.median(rates["delta"])),
        "other": round(statistics.median(rates["noop"])),
        "ratio": ratio,
        "target": TARGET_RATIO,
        "ok": ratio >= TARGET_RATIO,
        "rounds": ratios,
    }


def run_side(spark: "SparkSession", settings: "StreamingSettings", bootstrap: str, folder: Path, side: str) -> float:
    """Seconds from the start of a query to the end of its last batch."""
    from ingestion.contracts import engagement
    from streaming.bronze_table import BronzeTable
    from streaming.checkpoints import Checkpoints
    from streaming.commit_lock import CommitLock
    from streaming.files import Files
    from streaming.landing import landing_queries
    from streaming.sources import read_kafka
    from streaming.transforms import LandingRules, to_bronze
    from streaming.writers import BronzeWriter

    query = landing_queries(TopicNames(), settings)[0]
    table = BronzeTable(spark, str(folder / "bronze"))
    table.create()
    rules = LandingRules(DEAD_LETTER_TOPIC, (engagement.CONTRACT,), date(2015, 1, 1))
    location = str(folder / "checkpoint")
    writer = BronzeWriter(
        table,
        Checkpoints(Files(spark), str(folder)),
        CommitLock(spark, table.uri),
        newest=None,
        topic_ids={},
        max_tasks=settings.shuffle_partitions,
    )
    land = partial(writer.write_batch, query, location)
    stream = read_kafka(spark, bootstrap_servers=bootstrap, topics=query.topics, max_offsets=query.max_offsets)
    started = time.perf_counter()
    running = (
        to_bronze(stream, rules)
        .writeStream.foreachBatch(land if side == "delta" else partial(write_noop, settings))
        .option("checkpointLocation", location)
        .trigger(availableNow=True)
        .start()
    )
    running.awaitTermination()
    return time.perf_counter() - started


def write_noop(settings: "StreamingSettings", rows: "DataFrame", _batch_id: int) -> None:
    """The same rows as the landing job makes, thrown away."""
    from streaming.transforms import with_stamp

    stamped = with_stamp(rows.coalesce(settings.shuffle_partitions), datetime.now(UTC))
    stamped.write.format("noop").mode("overwrite").save()


def produce(bootstrap: str, count: int) -> None:
    """The generator's events (290 bytes, as `ingestion_ndjson` sends them), stamped as the API stamps them. They come round again."""
    import orjson
    from confluent_kafka import Producer

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "queue.buffering.max.messages": 200_000,
        }
    )
    now = datetime.now(UTC)
    lines = [event.raw for event in EngagementStream(StreamPlan(min(count, DISTINCT_EVENTS), now))]
    events = [orjson.loads(line) for line in lines]
    for number in range(count):
        event = events[number % len(events)]
        stamps = [
            (headers.SPEC_VERSION, headers.SPEC_VERSION_VALUE),
            (headers.EVENT_ID, b"%s-%d" % (event["event_id"].encode(), number)),
            (headers.SOURCE, b"bench"),
            (headers.EVENT_TYPE, event["event_type"].encode()),
            (headers.OCCURRED_AT, event["timestamp"].encode()),
            (headers.DATA_SCHEMA, b"engagement/1"),
            (headers.RECEIVED_AT, format_utc(now).encode()),
        ]
        while True:
            try:
                producer.produce(LIVE_TOPIC, lines[number % len(lines)], event["user_id"].encode(), headers=stamps)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


if __name__ == "__main__":
    sys.exit(main())
