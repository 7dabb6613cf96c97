"""Re-reads Kafka offsets into a bronze of their own, by the rules of landing. Never touches live bronze, checkpoints or committed offsets.

`ingested_at` is the record's Kafka timestamp: the same offsets give the same rows, whenever they are read again.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ingestion.contracts.clocks import FUTURE_TOLERANCE_SECONDS
from ingestion.contracts.registry import CONTRACTS
from storage.control.replays import ReplayRange
from storage.settings import StorageSettings
from streaming.errors import ConfigurationError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

RANGE_PATTERN = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)/(?P<partition>\d+):(?P<first>\d+)-(?P<end>\d+)")


@dataclass(frozen=True)
class OffsetRange:
    """Offsets of one partition from `first` to before `end`."""

    topic: str
    partition: int
    first: int
    end: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}:{self.first}-{self.end}"


def parse_offset_range(text: str) -> OffsetRange:
    """A range like events.raw.v1/0:100-200, the end not part of it. Raises ConfigurationError."""
    match = RANGE_PATTERN.fullmatch(text)
    if match is None or int(match["first"]) >= int(match["end"]):
        raise ConfigurationError(
            f"{text!r} is no range of offsets: write TOPIC/PARTITION:FIRST-END, the end not part of it, "
            "like events.raw.v1/0:100-200."
        )
    return OffsetRange(match["topic"], int(match["partition"]), int(match["first"]), int(match["end"]))


def find_offsets(bootstrap_servers: str, topics: Iterable[str], not_before: datetime) -> list[OffsetRange]:
    """Everything that the broker holds from a moment on, by Kafka timestamp.

    No record is of an hour more than a minute after its Kafka timestamp, so that a range of hours is found from its beginning on.
    Raises KafkaError when the broker does not answer.
    """

    from runtime.kafka_clients import Consumer

    consumer = Consumer(bootstrap_servers=bootstrap_servers.split(","), enable_auto_commit=False)
    try:
        places = consumer.places(*topics)
        moment = int((not_before - timedelta(seconds=FUTURE_TOLERANCE_SECONDS)).timestamp() * 1000)
        firsts = consumer.offsets_for_times(dict.fromkeys(places, moment))
        ends = consumer.end_offsets(places)
    finally:
        consumer.close()
    found = [(place, firsts.get(place), ends[place]) for place in places]
    return [
        OffsetRange(place.topic, place.partition, first.offset, end)
        for place, first, end in found
        if first is not None and 0 <= first.offset < end
    ]


def check_held(bootstrap_servers: str, ranges: Iterable[OffsetRange]) -> None:
    """Raises ConfigurationError when the broker lacks offsets of a range: gone by retention, or not written yet."""
    from kafka import TopicPartition

    from runtime.kafka_clients import Consumer

    wanted = list(ranges)
    consumer = Consumer(bootstrap_servers=bootstrap_servers.split(","), enable_auto_commit=False)
    try:
        for item in wanted:
            place = TopicPartition(item.topic, item.partition)
            if item.partition not in (consumer.partitions_for_topic(item.topic) or ()):
                raise ConfigurationError(f"Kafka has no partition {item.partition} of {item.topic}.")
            first, end = consumer.beginning_offsets([place])[place], consumer.end_offsets([place])[place]
            if item.first < first or item.end > end:
                raise ConfigurationError(
                    f"Kafka holds offsets {first} to {end} (not included) of {item.topic}/{item.partition}, not all of {item}. "
                    "What it no longer has is in bronze: replay from there (--source bronze)."
                )
    finally:
        consumer.close()


def read_offsets(
    spark: "SparkSession", storage: StorageSettings, ranges: Iterable[OffsetRange], wanted: ReplayRange | None
) -> "DataFrame":
    """Rows of bronze for the offsets, of the wanted hours, app and type of event where given."""
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own convention

    from streaming.schemas import bronze_column_names
    from streaming.transforms import STAMP, LandingRules, to_bronze

    starts: dict[str, dict[str, int]] = {}
    ends: dict[str, dict[str, int]] = {}
    for item in ranges:
        starts.setdefault(item.topic, {})[str(item.partition)] = item.first
        ends.setdefault(item.topic, {})[str(item.partition)] = item.end
    records = (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", storage.kafka_bootstrap_servers)
        .option("assign", json.dumps({topic: sorted(map(int, of)) for topic, of in starts.items()}))
        .option("startingOffsets", json.dumps(starts))
        .option("endingOffsets", json.dumps(ends))
        .option("includeHeaders", "true")
        .option("failOnDataLoss", "true")
        .load()
    )
    rows = to_bronze(records, LandingRules(storage.topics.dead_letters, tuple(CONTRACTS), storage.first_day))
    rows = rows.withColumn(STAMP, F.col("kafka_timestamp")).select(*bronze_column_names())
    if wanted is None:
        return rows
    rows = rows.where(
        (F.col("event_hour") >= F.lit(wanted.first_hour)) & (F.col("event_hour") < F.lit(wanted.end_hour))
    )
    if wanted.app_id:
        rows = rows.where(F.col("app_id") == wanted.app_id)
    return rows.where(F.col("event_type") == wanted.event_type) if wanted.event_type else rows


def write_scratch_bronze(spark: "SparkSession", rows: "DataFrame", target: str) -> int:
    """Writes the rows as a Delta table laid out as bronze, in place of whatever is at `target`; returns how many."""
    from streaming.bronze_table import BronzeTable

    table = BronzeTable(spark, target)
    rows.write.format("delta").mode("overwrite").partitionBy("event_date").save(table.uri)
    return table.read().count()
