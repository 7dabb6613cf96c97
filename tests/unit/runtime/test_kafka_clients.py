"""A client that does not find its broker leaves no thread and no descriptor behind."""

import gc
import logging
import threading
from pathlib import Path

import pytest
from kafka.errors import KafkaError

from local_stack.ports import free_port
from runtime.kafka_clients import AdminClient, Consumer


def running() -> tuple[int, int]:
    """Threads and open descriptors of this process."""
    gc.collect()  # a socket in a cycle is closed with it
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("client", [Consumer, AdminClient])
def test_a_client_that_finds_no_broker_leaves_nothing_running(client: type, caplog: pytest.LogCaptureFixture) -> None:
    # Regression: a driver asks for the ends of its topics every few seconds, and each time without a broker cost a thread for good.
    caplog.set_level(
        logging.CRITICAL, "kafka"
    )  # pytest keeps what is logged, and with it the exception's frames and their sockets
    before = running()
    for _ in range(3):
        with pytest.raises(KafkaError):
            client(bootstrap_servers=[f"127.0.0.1:{free_port()}"], bootstrap_timeout_ms=100)
    assert running() == before
