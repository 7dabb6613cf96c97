"""Workers as processes of their own, a gate before the database, and records of one app on the live topic."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from ingestion.contracts.topics import LIVE_TOPIC
from local_stack import child
from local_stack.metrics import read_metrics
from local_stack.ports import free_port
from streaming.hot_store.records import Record
from tests.fixtures.hot_events import live_record


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
    bootstrap: str, database_url: str, group: str, name: str = "hot_store_worker_1", **settings: str
) -> Iterator[WorkerProcess]:
    """`python -m streaming.hot_store` until the block ends."""
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
    argv = child.wrap([sys.executable, "-m", "streaming.hot_store"], signal.SIGKILL)
    process = subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield WorkerProcess(name, process, port)
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
        {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 5, "compression.type": "lz4"}
    )
    for record in records:
        producer.produce(LIVE_TOPIC, record.value, record.key, headers=list(record.headers))
        producer.poll(0)
    assert producer.flush(60) == 0


class Gate:
    """A TCP way to a server on this machine that can be shut: open connections end, new ones are refused."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.open()

    def open(self) -> None:
        """Lets connections through."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def shut(self) -> None:
        """Ends what is open and refuses what comes. Idempotent."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                return
            self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(65_536):
                sink.sendall(chunk)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            self._open.discard(end)
