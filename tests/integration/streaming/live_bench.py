"""What tests of live windows share: a topic whose time is the test's, records of every kind, and counting them in this process.

Records and the oracle: tests.fixtures.live_records.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from ingestion.contracts.topics import TopicSpec
from local_stack.topics import create_topics
from storage.live.state import open_state
from storage.settings import StorageSettings
from streaming.settings import StreamingSettings
from tests.fixtures.live_records import Sent

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from streaming.live_run import LiveRun


class LiveBench:
    """A topic of its own, and the live windows over it in this process."""

    def __init__(
        self, spark: "SparkSession", engine: Engine, storage: StorageSettings, settings: StreamingSettings, topic: str
    ) -> None:
        from streaming.kafka_topics import EndOffsetReader

        self.spark, self.engine, self.storage, self.settings, self.topic = spark, engine, storage, settings, topic
        self.reader = EndOffsetReader(storage.kafka_bootstrap_servers, (topic,))
        self.sent: list[Sent] = []
        self.places: list[tuple[Sent, int, int]] = []
        self._running: LiveRun | None = None
        create_topics(
            storage.kafka_bootstrap_servers,
            [TopicSpec(topic, 2, {"message.timestamp.type": "CreateTime", "retention.ms": "-1"})],
        )

    def send(self, records: Iterable[Sent]) -> None:
        """Produces, in order per user."""
        from confluent_kafka import Producer

        def remember(record: Sent) -> Any:
            return lambda _error, message: self.places.append((record, message.partition(), message.offset()))

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
                on_delivery=remember(record),
                **place,
            )
        assert producer.flush(30) == 0
        self.sent += records

    def start(self, **overrides: Any) -> "LiveRun":
        from streaming.kafka_topics import wait_for_topics
        from streaming.live_run import LiveRun, LiveSource

        bootstrap = self.storage.kafka_bootstrap_servers
        topics = wait_for_topics(bootstrap, (self.topic,), timeout_seconds=20)
        source = overrides.pop("source", LiveSource(self.topic, "events.dlq.v1"))
        run = LiveRun(self.spark, self.engine, self.storage, self.settings, source, **overrides)
        run.start(topics[self.topic], self.reader.read)
        self._running = run
        return run

    def wait(self, run: "LiveRun") -> None:
        """Until everything that Kafka holds is in the tables, and Spark has noted it."""
        ends = self.reader.read()
        self.wait_for(
            run,
            lambda: (
                all(
                    end <= run.progress.offsets.get(topic, {}).get(partition, 0)
                    for topic, of in ends.items()
                    for partition, end in of.items()
                )
                and self.is_noted(open_state(self.engine).last_batch)
            ),
        )
        run.check()

    def wait_for(self, run: "LiveRun", condition: Callable[[], bool], timeout_seconds: float = 200) -> None:
        """Until the condition holds."""
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            run.check()
            assert time.monotonic() < deadline, f"not so in {timeout_seconds} s"
            time.sleep(0.05)

    def is_noted(self, batch_id: int | None) -> bool:
        """Whether Spark has committed the batch: it is not repeated then."""
        generation = f"generation-{open_state(self.engine).generation}"
        folder = Path(self.settings.windows_checkpoint_dir, generation, "windows", "commits")
        return folder.joinpath(str(batch_id)).exists()

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
