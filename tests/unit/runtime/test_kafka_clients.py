"""A client that does not find its broker leaves no thread and no descriptor behind, and no record stops one."""

import gc
import logging
import threading
from pathlib import Path

import pytest
from kafka.errors import KafkaError
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from local_stack.ports import free_port
from runtime.kafka_clients import AdminClient, Consumer
from tests.fixtures.foreign_headers import RawName


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


@pytest.mark.parametrize("codec", [DefaultRecordBatch.CODEC_NONE, DefaultRecordBatch.CODEC_GZIP])
def test_a_header_name_that_is_not_utf_8_stops_neither_its_record_nor_those_behind_it(codec: int) -> None:
    builder = DefaultRecordBatchBuilder(
        2, codec, is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=10_000
    )
    for offset, headers in enumerate(([("a", b"1")], [(RawName(), b"\xff"), ("b", None)], [("c", b"3")])):
        builder.append(offset, 1_700_000_000_000, b"key", b"value", headers)
    read = [(record.offset, record.key, record.value, record.headers) for record in DefaultRecordBatch(builder.build())]
    assert read == [
        (0, b"key", b"value", [("a", b"1")]),
        (1, b"key", b"value", [("\ufffdname", b"\xff"), ("b", None)]),
        (2, b"key", b"value", [("c", b"3")]),
    ]
