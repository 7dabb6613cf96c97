"""The bridge as it runs: a client's records on `content-downloads`, a real broker and registry, and kill -9 in the middle."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from kafka.errors import KafkaError
from sqlalchemy import Engine

from ingestion.bridge.inlet import KafkaInlet
from ingestion.bridge.left_behind import count_left_behind, describe_left_behind
from ingestion.contracts.topics import (
    DEAD_LETTER_TOPIC,
    DOWNLOADS_GROUP,
    DOWNLOADS_TOPIC,
    LIVE_TOPIC,
    TopicSpec,
)
from ingestion.schema_registry.own_contracts import register_own
from ingestion.schema_registry.service import SchemaRegistry
from ingestion.schema_registry.store import PostgresRegistryStore
from local_stack import child
from local_stack.topics import create_topics
from local_stack.waiting import wait_until
from storage.settings import StorageSettings
from storage.settlement import count_unmoved, read_inlet
from tests.integration.ingestion.reading import Landed, read_all
from tests.unit.ingestion.builders import download
from tests.unit.ingestion.schema_registry.test_decoding import encoded

pytestmark = pytest.mark.integration
EVENT_COUNT = 20_000


@pytest.fixture
def schema_id(engine: Engine) -> int:
    """The platform's own contract, registered."""
    registry = SchemaRegistry(PostgresRegistryStore(engine))
    register_own(registry, DOWNLOADS_TOPIC)
    return registry.look(lambda view: view.version("content-downloads-value", "latest").schema_id)


@pytest.fixture
def start_bridge(kafka_bootstrap: str, storage_settings: StorageSettings) -> Callable[[str], "subprocess.Popen[bytes]"]:
    """Starts a bridge for an app; its death is the caller's."""

    def start(app_id: str) -> "subprocess.Popen[bytes]":
        environment = {
            **os.environ,
            "TIDEMARK_KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
            "TIDEMARK_STORAGE_DATABASE_URL": storage_settings.database_url,
            "TIDEMARK_INGESTION_DOWNLOADS_APP_ID": app_id,
        }
        argv = child.wrap([sys.executable, "-m", "ingestion.bridge"], signal.SIGKILL)
        return subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL)

    return start


def end_count(bootstrap: str, topic: str) -> int:
    """Records in the topic now."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "tests"})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        places = [TopicPartition(topic, number) for number in partitions]
        return sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
    finally:
        consumer.close()


@pytest.mark.feature("S4-2")
def test_a_bridge_that_is_killed_loses_no_record_and_its_successor_changes_none(
    kafka_bootstrap: str,
    engine: Engine,
    storage_settings: StorageSettings,
    schema_id: int,
    start_bridge: Callable[[str], "subprocess.Popen[bytes]"],
) -> None:
    settings = storage_settings.model_copy(update={"kafka_bootstrap_servers": kafka_bootstrap})
    app_id, ids = f"app_{uuid4().hex[:8]}", [f"d-{number}" for number in range(EVENT_COUNT)]
    producer = Producer({"bootstrap.servers": kafka_bootstrap, "compression.type": "zstd"})
    values = {event_id: encoded(download(event_id=event_id), schema_id=schema_id) for event_id in ids}
    for event_id, value in values.items():
        producer.produce(DOWNLOADS_TOPIC, value, event_id)

    def is_unknown(record: Landed) -> bool:
        return record.value == unknown

    unknown = b"\0\0\0\xff\xff" + uuid4().bytes
    producer.produce(DOWNLOADS_TOPIC, unknown)
    assert producer.flush(60) == 0
    before = end_count(kafka_bootstrap, LIVE_TOPIC)
    inlet = read_inlet(settings, DOWNLOADS_TOPIC, DOWNLOADS_GROUP)
    assert count_unmoved(settings, inlet) == EVENT_COUNT + 1, "no group has been here, and all wait"

    killed = start_bridge(app_id)
    try:
        wait_until(lambda: end_count(kafka_bootstrap, LIVE_TOPIC) > before, "the bridge to have begun", 60)
    finally:
        killed.kill()
        killed.wait()
    assert end_count(kafka_bootstrap, LIVE_TOPIC) < before + EVENT_COUNT, "killed in the middle"
    assert 0 < count_unmoved(settings, inlet) <= EVENT_COUNT + 1

    successor = start_bridge(app_id)
    try:
        wait_until(lambda: not count_unmoved(settings, inlet), "the successor to have moved the rest", 90)
        # What is settled is there: read before the successor could do more.
        assert end_count(kafka_bootstrap, LIVE_TOPIC) >= before + EVENT_COUNT
        assert read_all(kafka_bootstrap, DEAD_LETTER_TOPIC, is_unknown)
    finally:
        successor.terminate()
        assert successor.wait(20) == 0

    landed = read_all(kafka_bootstrap, LIVE_TOPIC, lambda record: record.headers.get("ce_source") == app_id)
    assert {record.headers["ce_id"] for record in landed} == set(ids), "nothing is lost"
    copies: dict[str, set[tuple[bytes, str]]] = {}
    for record in landed:
        said = (record.value, "|".join(f"{name}={value}" for name, value in sorted(record.headers.items())))
        copies.setdefault(record.headers["ce_id"], set()).add(said)
    assert all(len(said) == 1 for said in copies.values()), "a copy is the same to the byte: silver keeps one"
    assert {value for said in copies.values() for value, _ in said} == set(values.values())
    letters = read_all(kafka_bootstrap, DEAD_LETTER_TOPIC, is_unknown)
    assert {letter.headers["ce_dlqreason"] for letter in letters} == {"unknown_schema"}


def is_told(bootstrap: str, topic: str, group: str) -> bool:
    """True once the broker says what the group has read."""
    with contextlib.suppress(KafkaError):
        count_left_behind(bootstrap, topic, group)
        return True
    return False


@pytest.mark.feature("S4-2")
def test_a_marker_of_a_transaction_is_no_record_that_waits(
    kafka_bootstrap: str, storage_settings: StorageSettings
) -> None:
    # Regression: behind a client with transactions the group lagged for good: `settle` never ended, and an alert was raised.
    settings = storage_settings.model_copy(update={"kafka_bootstrap_servers": kafka_bootstrap})
    topic, group = (f"{name}-{uuid4().hex[:8]}" for name in ("downloads", "group"))
    create_topics(kafka_bootstrap, [TopicSpec(topic, partitions=2)])
    producer = Producer({"bootstrap.servers": kafka_bootstrap, "transactional.id": topic})
    producer.init_transactions(60)
    for values, end in (("abc", producer.commit_transaction), ("xy", producer.abort_transaction)):
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value, partition=0)
        producer.flush(30)
        end(30)
    inlet = KafkaInlet(kafka_bootstrap, topic, group)
    seen: list[bytes] = []

    def has_moved_all() -> bool:
        records = inlet.read()
        seen.extend(record.value for record in records)
        inlet.commit(records)
        return not count_unmoved(settings, read_inlet(settings, topic, group))

    try:
        wait_until(has_moved_all, "nothing to wait", 60)
    finally:
        inlet.close()
    assert seen == [b"a", b"b", b"c"], "and what was aborted is not there"


@pytest.mark.feature("S0-4")
def test_downloads_that_an_earlier_topic_still_holds_are_counted_until_they_are_read(kafka_bootstrap: str) -> None:
    old, new, group = (f"{name}-{uuid4().hex[:8]}" for name in ("old", "new", "group"))
    create_topics(kafka_bootstrap, [TopicSpec(old, partitions=2), TopicSpec(new)])
    producer = Producer({"bootstrap.servers": kafka_bootstrap})
    for number in range(5):
        producer.produce(old, b"x", partition=number % 2)
    assert producer.flush(30) == 0
    # A fresh broker has no place for groups until the first of them is asked for.
    wait_until(lambda: is_told(kafka_bootstrap, new, group), "the broker to find the group", 60)
    assert count_left_behind(kafka_bootstrap, new, group) == {}, "the group has read nothing yet"
    consumer = Consumer({"bootstrap.servers": kafka_bootstrap, "group.id": group, "enable.auto.commit": False})
    try:
        consumer.commit(offsets=[TopicPartition(old, 0, 1), TopicPartition(old, 1, 2)], asynchronous=False)
        assert count_left_behind(kafka_bootstrap, new, group) == {old: 2}
        assert count_left_behind(kafka_bootstrap, old, group) == {}
        line = describe_left_behind({old: 2}, new)
        assert f"{old} holds 2" in line
        assert f"set TIDEMARK_KAFKA_DOWNLOADS_TOPIC={old} until" in line
        consumer.commit(offsets=[TopicPartition(old, 0, 3)], asynchronous=False)
        assert count_left_behind(kafka_bootstrap, new, group) == {}
    finally:
        consumer.close()
