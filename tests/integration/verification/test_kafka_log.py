"""The checker against a real broker: offsets, and the stamps of what still has to land."""

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # as documented

from storage.settings import StorageSettings
from storage.verification import ServiceUnreachableError, verify
from storage.verification.kafka_log import BrokerLog, OffsetRange
from tests.integration.verification.rows import engagement
from tests.integration.verification.world import World

pytestmark = [pytest.mark.integration, pytest.mark.feature("K10")]


@pytest.fixture
def topic(kafka_bootstrap: str) -> str:
    """A fresh topic with two partitions."""
    name = f"events.test{uuid4().hex[:8]}.v1"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    for future in admin.create_topics([NewTopic(name, 2, 1)]).values():
        future.result(10)
    return name


def produce(bootstrap: str, topic: str, partition: int, count: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for number in range(count):
        headers = {"ce_source": "app", "ce_id": f"e{number}", "ce_receivedat": "2026-02-01T10:00:02.000000Z"}
        producer.produce(topic, json.dumps({}).encode(), partition=partition, headers=headers)  # type: ignore[arg-type]
    assert producer.flush(10) == 0


def test_ranges_and_records_are_read_exactly(kafka_bootstrap: str, topic: str) -> None:
    produce(kafka_bootstrap, topic, 0, 1500)
    log = BrokerLog(kafka_bootstrap, (topic, "events.absent.v1"))
    assert log.offset_ranges() == {(topic, 0): OffsetRange(0, 1500), (topic, 1): OffsetRange(0, 0)}
    records = list(log.read({(topic, 0): OffsetRange(700, 1400), (topic, 1): OffsetRange(0, 0)}))
    assert [record.offset for record in records] == list(range(700, 1400))
    assert records[0].app_id == "app"
    assert records[0].event_id == "e700"
    assert records[0].received_at == datetime(2026, 2, 1, 10, 0, 2, tzinfo=UTC)


def test_reading_moves_no_consumer_group(kafka_bootstrap: str, topic: str) -> None:
    produce(kafka_bootstrap, topic, 1, 3)
    log = BrokerLog(kafka_bootstrap, (topic,))
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    before = {group.group_id for group in admin.list_consumer_groups().result(10).valid}
    for _ in range(2):
        assert len(list(log.read({(topic, 1): OffsetRange(0, 3)}))) == 3
    assert {group.group_id for group in admin.list_consumer_groups().result(10).valid} == before


def test_a_row_that_is_not_its_record_is_named(kafka_bootstrap: str, topic: str, world: World) -> None:
    rows = [engagement(number, kafka_topic=topic) for number in range(3)]
    producer = Producer({"bootstrap.servers": kafka_bootstrap, "acks": "all"})
    for row in rows:
        headers = list(row.all_headers.items())
        producer.produce(topic, row.value, row.key, partition=0, headers=headers)  # type: ignore[arg-type]
    assert producer.flush(10) == 0
    world.land(*rows, tamper="update landed set value = '{}'::blob where kafka_offset = 1")
    log = BrokerLog(kafka_bootstrap, (topic,))

    failed = {check.name: check.offending for check in verify(world.settings, kafka=log).failed}

    assert failed["newest_rows_equal_their_records"] == (f"{topic}/0/1 is not what Kafka holds",)


def test_a_dead_broker_is_unreachable_and_not_a_loss(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.verification.kafka_log.CONNECT_TIMEOUT_SECONDS", 1)
    world.land(engagement(0))
    settings = world.settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:9"})
    with pytest.raises(ServiceUnreachableError, match=r"Kafka at 127\.0\.0\.1:9"):
        verify(settings)


def test_a_dead_database_is_unreachable_and_its_password_is_not_shown(world: World) -> None:
    settings = StorageSettings(
        **{**world.settings.model_dump(), "database_url": "postgresql://tidemark:secret@127.0.0.1:9/none"}
    )
    with pytest.raises(ServiceUnreachableError, match=r"PostgreSQL at 127\.0\.0\.1:9") as caught:
        verify(settings, kafka=world.kafka)
    assert "secret" not in str(caught.value)
