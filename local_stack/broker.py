"""One real Kafka broker on this machine: KRaft, one listener on loopback, its controller in the same process.

Holds its properties, its command and its first formatting. Topics: `local_stack.topics`. Supervision: `local_stack.supervisor`.
"""

import signal
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_stack import child
from local_stack.errors import StartError
from local_stack.jars import ensure_jars
from local_stack.java import find_java
from local_stack.ports import LOOPBACK, free_port, is_listening
from local_stack.waiting import wait_until

READY_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 15.0
# A small heap is enough for one broker; Kafka serves from the page cache. The serial collector needs least memory beside it.
HEAP_ARGUMENTS = ("-Xmx512m", "-Xms128m", "-XX:+UseSerialGC")


@dataclass(frozen=True)
class Broker:
    """A broker that keeps its log in `data_dir` and listens on `port`; the controller on `controller_port`."""

    data_dir: Path
    port: int
    controller_port: int

    @property
    def bootstrap(self) -> str:
        """What clients connect to."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def properties_file(self) -> Path:
        """Written by `format`, read by the broker."""
        return self.data_dir / "server.properties"

    def properties(self) -> dict[str, str]:
        """server.properties. Replication factors are 1 because there is one broker: acks=all is its page cache."""
        controller = f"{LOOPBACK}:{self.controller_port}"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self.data_dir / "log"),
            "auto.create.topics.enable": "false",
            "num.partitions": "4",
            "default.replication.factor": "1",
            "min.insync.replicas": "1",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # A consumer group alone on a machine need not wait for others to join.
            "group.initial.rebalance.delay.ms": "0",
            # A killed broker may register again only when its old session is over: part of the promised minute of recovery.
            "broker.session.timeout.ms": "5000",
            "broker.heartbeat.interval.ms": "1000",
            # Room for a batch of maximal records of 2 MiB.
            "message.max.bytes": str(4 * 1024 * 1024),
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
            "log.segment.bytes": str(256 * 1024 * 1024),
            "num.network.threads": "2",
            "num.io.threads": "4",
            "controlled.shutdown.enable": "false",
        }

    def command(self) -> list[str]:
        """Starts the broker in the foreground; it logs to its standard error."""
        return [*self._java(), *HEAP_ARGUMENTS, "-cp", _class_path(), "kafka.Kafka", str(self.properties_file)]

    def format(self) -> None:
        """Writes the properties and, the first time, formats the log folder. Idempotent.

        Raises: StartError when Kafka's own tool refuses.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{key}={value}\n" for key, value in self.properties().items())
        self.properties_file.write_text(text)
        if (self.data_dir / "log" / "meta.properties").exists():
            return
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        argv = [*self._java(), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", _class_path()]
        # In one word: one id in 64 begins with a dash.
        argv += ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", str(self.properties_file)]
        answer = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=READY_TIMEOUT_SECONDS)
        if answer.returncode:
            raise StartError(
                f"Kafka could not format {self.data_dir}: {(answer.stderr or answer.stdout).strip()[-500:]}"
            )

    def _java(self) -> list[str]:
        return [find_java(), "-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]


def _class_path() -> str:
    return ":".join(str(path) for path in ensure_jars().broker)


@contextmanager
def running_broker(data_dir: Path, port: int | None = None) -> Iterator[str]:
    """A broker of one's own for as long as the block lasts; gives its bootstrap address. It dies with the caller.

    Raises: StartError when it is not ready in time.
    """
    broker = Broker(data_dir.absolute(), port or free_port(), free_port())
    broker.format()
    log_file = broker.data_dir / "broker.log"
    with log_file.open("ab") as log:
        argv = child.wrap(broker.command(), signal.SIGKILL)
        process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(
            lambda: is_listening(broker.port),
            f"Kafka on {broker.bootstrap} to listen (log: {log_file})",
            READY_TIMEOUT_SECONDS,
            is_hopeless=lambda: None if process.poll() is None else f"it ended with exit code {process.returncode}",
        )
        yield broker.bootstrap
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
