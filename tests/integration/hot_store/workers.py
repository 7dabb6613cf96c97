"""Workers as processes of their own, a gate before the database, and records of one app on the live topic."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Producer
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from ingestion.contracts.topics import LIVE_TOPIC, MAX_RECORD_SIZE_BYTES
from local_stack import child
from local_stack.log_files import tail
from local_stack.metrics import read_metrics
from local_stack.ports import free_port
from storage.hot_store.group_offsets import GroupOffsets
from streaming.hot_store.records import Record
from tests.fixtures.hot_events import live_record

LAST_LINES = 40


@dataclass
class WorkerProcess:
    """A running worker."""

    name: str
    process: "subprocess.Popen[bytes]"
    metrics_port: int

    def value(self, metric: str, **labels: str) -> float:
        """A metric of the worker summed over the labels not given; 0 while it is not there."""
        text = read_metrics(f"http://127.0.0.1:{self.metrics_port}/metrics") or ""
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == metric and labels.items() <= sample.labels.items()
        )

    def partitions(self) -> float:
        """How many it owns."""
        return self.value("tidemark_hot_store_assigned_partitions")

    def handled(self) -> float:
        """Records with any outcome."""
        return self.value("tidemark_hot_store_records_total")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running_worker(
    bootstrap: str,
    database_url: str,
    group: str,
    name: str = "hot_store_worker_1",
    module: str = "streaming.hot_store",
    **settings: str,
) -> Iterator[WorkerProcess]:
    """`python -m streaming.hot_store`, or another module in its place, until the block ends."""
    port = free_port()
    environment = {
        **os.environ,
        "TIDEMARK_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "TIDEMARK_STORAGE_DATABASE_URL": database_url,
        "TIDEMARK_HOT_STORE_CONSUMER_GROUP": group,
        "TIDEMARK_HOT_STORE_WORKER_NAME": name,
        "TIDEMARK_HOT_STORE_METRICS_PORT": str(port),
        "TIDEMARK_HOT_STORE_RETRY_MAX_SECONDS": "0.5",
        **settings,
    }
    environment = {key: value for key, value in environment.items() if value}
    argv = child.wrap([sys.executable, "-m", module], signal.SIGKILL)
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(argv, env=environment, stderr=log)
        try:
            yield WorkerProcess(name, process, port)
        except BaseException as error:
            words = "\n".join(tail(Path(log.name), LAST_LINES))
            error.add_note(f"{name}: exit code {process.poll()}, last words:\n{words}")
            raise
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def app_records(app_id: str, numbers: Sequence[int], users: int = 40) -> list[Record]:
    """Good records of an app, of many users, so that every partition gets some."""
    return [
        live_record(number, f"e-{number:05}", key=f"user-{number % users}".encode(), stamps={"source": app_id.encode()})
        for number in numbers
    ]


def produce(bootstrap: str, records: Sequence[Record]) -> None:
    """Sends records to the live topic and waits for the broker."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "compression.type": "lz4",
            "message.max.bytes": MAX_RECORD_SIZE_BYTES,
        }
    )
    for record in records:
        producer.produce(LIVE_TOPIC, record.value, record.key, headers=list(record.headers))
        producer.poll(0)
    assert producer.flush(60) == 0


def group_at_the_end(bootstrap: str, name: str) -> str:
    """A group that goes on at the topic's end: what tests before have left there is not its business."""
    commit(bootstrap, name, ends(bootstrap))
    return name


def commit(bootstrap: str, group: str, offsets: Mapping[int, int]) -> None:
    """Lets a group without members go on at these offsets."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    try:
        places = {TopicPartition(LIVE_TOPIC, partition): offset for partition, offset in offsets.items()}
        consumer.assign(list(places))
        consumer.commit({place: OffsetAndMetadata(offset) for place, offset in places.items()})
    finally:
        consumer.close(autocommit=False)


def committed(bootstrap: str, group: str) -> dict[int, int]:
    """Partition → where the group goes on."""
    return GroupOffsets(bootstrap, group).committed()


def ends(bootstrap: str) -> dict[int, int]:
    """Partition of the live topic → its end."""
    return GroupOffsets(bootstrap, "unused").ends(LIVE_TOPIC)
