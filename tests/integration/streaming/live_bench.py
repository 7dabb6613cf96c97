"""What tests of live windows share: a topic whose time is the test's, records of every kind, and counting them in this process.

The oracle (`expected_minutes`) is written from the definitions, over Python's own structures; it shares nothing with the query.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, select

from ingestion.contracts import headers
from ingestion.contracts.clocks import format_utc
from ingestion.contracts.topics import TopicSpec
from local_stack.topics import create_topics
from storage.live.tables import minutes
from storage.settings import StorageSettings
from streaming.settings import StreamingSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from streaming.live_run import LiveRun

MINUTE = timedelta(minutes=1)
Keys = tuple[datetime, str, str, tuple[str, ...]]


@dataclass(frozen=True)
class Sent:
    """One record. `arrived_at` is Kafka's timestamp, which the test sets."""

    event_id: str
    occurred_at: datetime
    body: dict[str, Any] | bytes
    contract: str = "engagement/1"
    event_type: str = "click"
    app_id: str = "app-1"
    user_id: str = "u1"
    received_after: timedelta = timedelta(seconds=1)
    arrived_after: timedelta = timedelta(seconds=2)
    partition: int | None = None
    dropped: dict[str, None] = field(default_factory=dict)

    @property
    def received_at(self) -> datetime:
        return self.occurred_at + self.received_after

    @property
    def arrived_at(self) -> datetime:
        return self.occurred_at + max(self.arrived_after, self.received_after)

    @property
    def value(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    @property
    def is_late(self) -> bool:
        return self.received_after > timedelta(minutes=10)

    def later(self, **changes: Any) -> "Sent":
        return replace(self, **changes)

    def headers(self) -> list[tuple[str, bytes]]:
        return [
            (headers.SPEC_VERSION, headers.SPEC_VERSION_VALUE),
            (headers.EVENT_ID, self.event_id.encode()),
            (headers.SOURCE, self.app_id.encode()),
            (headers.EVENT_TYPE, self.event_type.encode()),
            (headers.OCCURRED_AT, format_utc(self.occurred_at).encode()),
            (headers.DATA_SCHEMA, self.contract.encode()),
            (headers.RECEIVED_AT, format_utc(self.received_at).encode()),
        ]


def click(event_id: str, at: datetime, user_id: str = "u1", platform: str = "web", **changes: Any) -> Sent:
    event_type = changes.pop("event_type", "click")
    body = {"event_type": event_type, "user_id": user_id, "platform": platform}
    return Sent(event_id, at, body, event_type=event_type, user_id=user_id, **changes)


def download(
    event_id: str,
    at: datetime,
    content_id: str = "movie",
    region: str = "eu",
    status: str = "success",
    error_code: str | None = None,
    user_id: str = "u1",
    size_mb: float = 512.25,
    speed_mbps: float = 20.5,
    device: tuple[str, str] = ("phone", "1.0"),
    **changes: Any,
) -> Sent:
    outcome = {"status": status, "duration_seconds": 3.5, "speed_mbps": speed_mbps, "error_code": error_code}
    body = {
        "event_id": event_id,
        "timestamp": int(at.timestamp() * 1000),
        "user_id": user_id,
        "content": {"content_id": content_id, "title": content_id.upper(), "size_mb": size_mb, "type": "m"}
        | {"category": "c", "price": 1},
        "download": {name: value for name, value in outcome.items() if value is not None},
        "user_context": {"region": region, "city": "x", "device": device[0], "os_version": device[1]}
        | {"connection_type": "wifi"},
    }
    return Sent(event_id, at, body, "download/1", "download", user_id=user_id, **changes)


def post(event_id: str, at: datetime, hashtags: list[str], author: str = "ann", **changes: Any) -> Sent:
    body = {"event_id": event_id, "event_type": "post_created", "timestamp": format_utc(at), "post_id": f"p-{event_id}"}
    body |= {"author": author, "text": "hello", "hashtags": hashtags}  # type: ignore[dict-item]
    return Sent(event_id, at, body, "social/1", "post_created", user_id=author, **changes)


def expected_minutes(sent: Iterable[Sent]) -> dict[Keys, int]:
    """Counts by cell: on time, the first copy of each event."""
    counts: dict[Keys, int] = defaultdict(int)
    seen: set[tuple[str, str]] = set()
    for record in sent:
        if record.is_late or (record.app_id, record.event_id) in seen:
            continue
        seen.add((record.app_id, record.event_id))
        minute = record.occurred_at.replace(second=0, microsecond=0)
        family = record.contract.split("/")[0]
        assert isinstance(record.body, dict)
        body: dict[str, Any] = record.body
        cells = [("events", (family, record.event_type, body.get("platform", "none")))]
        if family == "download":
            context, outcome = body["user_context"], body["download"]
            cells += [
                ("content", (body["content"]["content_id"], context["region"])),
                ("device", (context["device"], context["os_version"])),
                ("error", (context["region"], outcome.get("error_code", "none"))),
            ]
        if record.event_type == "post_created":
            cells += [("hashtag", (hashtag,)) for hashtag in sorted(set(body["hashtags"]))]
        for breakdown, keys in cells:
            counts[minute, record.app_id, breakdown, keys] += 1
    return dict(counts)


def read_minutes_raw(engine: Engine) -> list[Any]:
    """Every row of live.minutes, in order."""
    with engine.connect() as connection:
        statement = select(minutes).order_by(*minutes.primary_key.columns)
        return list(connection.execute(statement).all())


def counts_of(engine: Engine) -> dict[Keys, int]:
    """Counts by cell as the tables have them."""
    return {
        (row.minute.astimezone(UTC), row.app_id, row.breakdown, tuple(row.keys)): row.event_count
        for row in read_minutes_raw(engine)
    }


class LiveBench:
    """A topic of its own, and the live windows over it in this process."""

    def __init__(
        self, spark: "SparkSession", engine: Engine, storage: StorageSettings, settings: StreamingSettings, topic: str
    ) -> None:
        self.spark, self.engine, self.storage, self.settings, self.topic = spark, engine, storage, settings, topic
        self.sent: list[Sent] = []
        self._running: LiveRun | None = None
        create_topics(
            storage.kafka_bootstrap_servers,
            [TopicSpec(topic, 2, {"message.timestamp.type": "CreateTime", "retention.ms": "-1"})],
        )

    def send(self, records: Iterable[Sent]) -> None:
        """Produces, in order per user."""
        from confluent_kafka import Producer

        records = list(records)
        producer = Producer({"bootstrap.servers": self.storage.kafka_bootstrap_servers, "acks": "all"})
        for record in records:
            place = {} if record.partition is None else {"partition": record.partition}
            producer.produce(
                self.topic,
                record.value,
                record.user_id.encode(),
                headers=record.headers(),
                timestamp=int(record.arrived_at.timestamp() * 1000),
                **place,
            )
        assert producer.flush(30) == 0
        self.sent += records

    def start(self, **overrides: Any) -> "LiveRun":
        from streaming.kafka_topics import EndOffsetReader, wait_for_topics
        from streaming.live_run import LiveRun, LiveSource

        bootstrap = self.storage.kafka_bootstrap_servers
        topics = wait_for_topics(bootstrap, (self.topic,), timeout_seconds=20)
        self.reader = EndOffsetReader(bootstrap, (self.topic,))
        source = overrides.pop("source", LiveSource(self.topic, "events.dlq.v1"))
        run = LiveRun(self.spark, self.engine, self.storage, self.settings, source, **overrides)
        run.start(topics[self.topic], self.reader.read)
        self._running = run
        return run

    def wait(self, run: "LiveRun", timeout_seconds: float = 120) -> None:
        """Until everything that Kafka holds is in the tables."""
        deadline = time.monotonic() + timeout_seconds
        ends = self.reader.read()
        while any(
            end > run.progress.offsets.get(topic, {}).get(partition, 0)
            for topic, of in ends.items()
            for partition, end in of.items()
        ):
            run.check()
            assert time.monotonic() < deadline, f"not counted in {timeout_seconds} s"
            time.sleep(0.05)
        run.check()

    def count_all(self, **overrides: Any) -> None:
        """Starts, counts everything that the topic holds, and stops."""
        run = self.start(**overrides)
        self.wait(run)
        assert run.stop()
        self.close()

    def close(self) -> None:
        """Stops what a failed test left running."""
        run, self._running = self._running, None
        if run is not None:
            run.stop()
            self.reader.close()
