"""Processes under test: the ingestion API, and a broker that can be killed and started again on the same data."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from local_stack import child
from local_stack.broker import Broker
from local_stack.ports import free_port, is_listening
from local_stack.topics import create_topics
from local_stack.waiting import wait_until
from tests.fixtures.gate import Gate


@dataclass
class ApiProcess:
    """A running API and a client for it."""

    process: "subprocess.Popen[bytes]"
    client: httpx.Client

    def is_healthy(self) -> bool:
        """True when /health answers 200."""
        try:
            return self.client.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def resident_bytes(self) -> int:
        """Memory of the process."""
        import psutil

        return int(psutil.Process(self.process.pid).memory_info().rss)


@contextmanager
def running_api(
    bootstrap: str,
    database_url: str,
    *,
    module: str = "ingestion.api",
    log: int | IO[bytes] = subprocess.DEVNULL,
    **settings: str,
) -> Iterator[ApiProcess]:
    """`python -m ingestion.api`, or another module that serves the same, on a free port until the block ends. `log` keeps its output."""
    port = free_port()
    environment = {
        **os.environ,
        "TIDEMARK_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "TIDEMARK_STORAGE_DATABASE_URL": database_url,
        "TIDEMARK_INGESTION_PORT": str(port),
        "TIDEMARK_INGESTION_MESSAGE_TIMEOUT_SECONDS": "4",
        "TIDEMARK_INGESTION_REQUEST_TIMEOUT_SECONDS": "6",
        **settings,
    }
    argv = child.wrap([sys.executable, "-m", module], signal.SIGKILL)
    process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0) as client:
        running = ApiProcess(process, client)
        try:
            wait_until(
                running.is_healthy,
                "the API to be healthy",
                60,
                is_hopeless=lambda: f"it ended with {process.returncode}" if process.poll() is not None else None,
            )
            yield running
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True)
class _BrokerBehind(Broker):
    """Names another port to its clients than it listens on."""

    advertised_port: int = 0

    def properties(self) -> dict[str, str]:
        return {**super().properties(), "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.advertised_port}"}


class KillableBroker:
    """A broker whose process may die and come back with the data it has on disk. With a gate, all its clients come through that.

    `gate_of` makes the gate of the broker's port.
    """

    def __init__(self, data_dir: Path, gate_of: Callable[[int], Gate] | None = None) -> None:
        port = free_port()
        self.gate = gate_of(port) if gate_of is not None else None
        self._broker: Broker
        if self.gate is None:
            self._broker = Broker(data_dir.absolute(), port, free_port())
        else:
            self._broker = _BrokerBehind(data_dir.absolute(), port, free_port(), self.gate.port)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Its address, the same after a restart."""
        return self._broker.bootstrap

    def start(self) -> None:
        """Returns when it listens and the topics exist."""
        self._broker.format()
        with (self._broker.data_dir / "broker.log").open("ab") as log:
            argv = child.wrap(self._broker.command(), signal.SIGKILL)
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        wait_until(lambda: is_listening(self._broker.port), "Kafka to listen", 90)
        create_topics(self.bootstrap)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
