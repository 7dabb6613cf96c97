"""What tests of landing share: producing records, landing them in this process, and comparing bronze with the broker."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ingestion.contracts import headers
from ingestion.contracts.clocks import format_utc
from ingestion.contracts.topics import TopicNames
from storage.settings import StorageSettings
from streaming.commit_metadata import parse_commit_metadata
from streaming.settings import StreamingSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from streaming.landing import Landing

Headers = list[tuple[str, bytes | None]] | None


class Record(NamedTuple):
    """A Kafka record with its place; equality is byte for byte."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def stamp_headers(**overrides: bytes | None) -> dict[str, bytes | None]:
    """The headers of a good engagement event that occurred an hour ago; keyword = constant's name in contracts.headers."""
    now = datetime.now(UTC)
    values: dict[str, bytes | None] = {
        headers.SPEC_VERSION: headers.SPEC_VERSION_VALUE,
        headers.EVENT_ID: b"event-1",
        headers.SOURCE: b"app-1",
        headers.EVENT_TYPE: b"click",
        headers.OCCURRED_AT: format_utc(now - timedelta(hours=1)).encode(),
        headers.DATA_SCHEMA: b"engagement/1",
        headers.RECEIVED_AT: format_utc(now).encode(),
    }
    for name, value in overrides.items():
        values[getattr(headers, name)] = value
    return values


def good_value(user_id: str = "user-1") -> bytes:
    """The body of a good engagement event."""
    return json.dumps({"event_type": "click", "user_id": user_id, "platform": "web"}).encode()


def produce(bootstrap: str, records: list[tuple[str, bytes | None, bytes | None, Headers]]) -> list[tuple[int, int]]:
    """Sends (topic, key, value, headers) and returns (partition, offset) of each, once all are acknowledged."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "message.max.bytes": 2 * 1024 * 1024})
    places: list[tuple[int, int]] = [(-1, -1)] * len(records)

    def remember(index: int) -> Any:
        def on_delivery(error: object, message: Any) -> None:
            assert error is None, error
            places[index] = (message.partition(), message.offset())

        return on_delivery

    for index, (topic, key, value, record_headers) in enumerate(records):
        producer.produce(topic, value, key, headers=record_headers, on_delivery=remember(index))
        producer.poll(0)
    assert producer.flush(30) == 0
    return places


def produce_events(bootstrap: str, topic: str, count: int, days: int = 1) -> None:
    """Good events, spread over `days` days before today."""
    now = datetime.now(UTC)
    produce(
        bootstrap,
        [
            (
                topic,
                f"user-{n % 97}".encode(),
                good_value(f"user-{n % 97}"),
                list(
                    stamp_headers(
                        EVENT_ID=f"{topic}-{n}".encode(),
                        OCCURRED_AT=format_utc(now - timedelta(days=n % days, hours=1)).encode(),
                    ).items()
                ),
            )
            for n in range(count)
        ],
    )


def read_broker(bootstrap: str, topics: tuple[str, ...] = ()) -> list[Record]:
    """Every record of `topics` (default: all that are landed, under their default names), in order of place."""
    from confluent_kafka import Consumer, TopicPartition

    from streaming.kafka_topics import EndOffsetReader

    reader = EndOffsetReader(bootstrap, topics or TopicNames().landed)
    ends = {(t, p): end for t, of in reader.read().items() for p, end in of.items() if end}
    reader.close()
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in ends])
    records: list[Record] = []
    # For more than are left `consume` would wait until the time is over.
    while left := sum(ends.values()) - len(records):
        for message in consumer.consume(min(5_000, left), timeout=5):
            assert message.error() is None
            place = (message.topic(), message.partition(), message.offset())
            records.append(Record(*place, message.key(), message.value(), tuple(message.headers() or ())))
    consumer.close()
    return sorted(records, key=lambda record: record[:3])


def read_commits(bronze_uri: str) -> list[dict[str, Any]]:
    """commitInfo of every commit, in order, each with `version` and `actions`."""
    commits = []
    for path in sorted(Path(bronze_uri, "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in path.read_text().splitlines()]
        info = next(action["commitInfo"] for action in actions if "commitInfo" in action)
        commits.append({**info, "version": int(path.stem), "actions": actions})
    return commits


def read_stamps(bronze_uri: str) -> list[datetime]:
    """The stamps of all landing commits, in commit order."""
    landings = [commit for commit in read_commits(bronze_uri) if commit["operation"] == "WRITE"]
    parsed = [parse_commit_metadata(commit.get("userMetadata")) for commit in landings]
    return [metadata.ingested_at for metadata in parsed if metadata is not None]


class LandingBench:
    """Runs landing in this process over a shared session."""

    def __init__(self, spark: "SparkSession", storage: StorageSettings, settings: StreamingSettings) -> None:
        self.spark = spark
        self.storage = storage
        self.settings = settings
        self._running: Landing | None = None

    def start(self, **overrides: Any) -> "Landing":
        """Starts landing with what the broker says now. Raises what Landing.start raises."""
        from streaming.kafka_topics import EndOffsetReader, wait_for_topics
        from streaming.landing import Landing

        bootstrap = self.storage.kafka_bootstrap_servers
        topics = wait_for_topics(bootstrap, self.storage.topics.landed, timeout_seconds=20)
        reader = EndOffsetReader(bootstrap, self.storage.topics.landed)
        self._ends = reader.read()
        reader.close()
        landing = Landing(self.spark, self.storage, self.settings, **overrides)
        landing.start(topics, lambda: self._ends)
        self._running = landing
        return landing

    def land_all(self, timeout_seconds: float = 90) -> None:
        """Starts, lands everything that the broker holds, and stops."""
        landing = self.start()
        deadline = time.monotonic() + timeout_seconds
        while any(
            landing.landed().get(topic, {}).get(partition, -1) + 1 < end
            for topic, of in self._ends.items()
            for partition, end in of.items()
        ):
            landing.check()
            assert time.monotonic() < deadline, f"not landed in {timeout_seconds} s"
            time.sleep(0.05)
        assert landing.stop()
        self._running = None

    def read_bronze(self) -> list[Record]:
        """Every row of bronze as the Kafka record that it came from, in order of place."""
        return read_bronze(self.storage.bronze_uri)

    def close(self) -> None:
        """Stops what a failed test left running."""
        if self._running is not None:
            self._running.stop()


def read_bronze(bronze_uri: str) -> list[Record]:
    """Bronze by delta-rs, which shares no code with the writer."""
    stamps = ["event_id", "app_id", "event_type", "occurred_at", "contract", "received_at"]
    rows = read_columns(
        bronze_uri, ["kafka_topic", "kafka_partition", "kafka_offset", "key", "value", "headers", *stamps]
    )
    return sorted(
        (
            Record(
                row["kafka_topic"],
                row["kafka_partition"],
                row["kafka_offset"],
                row["key"],
                row["value"],
                headers_of(row),
            )
            for row in rows
        ),
        key=lambda record: record[:3],
    )


def headers_of(row: dict[str, Any]) -> tuple[tuple[str, bytes | None], ...]:
    """The record's headers from a row of bronze, as the column's description says."""
    if row["headers"] is not None:
        return tuple((header["key"], header["value"]) for header in row["headers"])
    if row["occurred_at"] is None:
        return ()
    stamps = {
        "ce_specversion": "1.0",
        "ce_id": row["event_id"],
        "ce_source": row["app_id"],
        "ce_type": row["event_type"],
        "ce_time": _spelt(row["occurred_at"]),
        "ce_dataschema": row["contract"],
        "ce_receivedat": _spelt(row["received_at"]),
    }
    return tuple((name, text.encode()) for name, text in stamps.items())


def _spelt(time: datetime) -> str:
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def read_columns(bronze_uri: str, columns: list[str]) -> list[dict[str, Any]]:
    """Rows of bronze with these columns, by delta-rs's own query engine."""
    from deltalake import DeltaTable, QueryBuilder

    reader = (
        QueryBuilder().register("bronze", DeltaTable(bronze_uri)).execute(f"select {', '.join(columns)} from bronze")
    )
    return [row for batch in reader for row in rows_of(batch)]


def rows_of(batch: Any) -> list[dict[str, Any]]:
    """The rows of an Arrow batch as dicts."""
    names = batch.schema.names
    columns = [batch.column(index).to_pylist() for index in range(len(names))]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
