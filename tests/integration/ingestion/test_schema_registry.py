"""The registry as existing serializers use it: confluent-kafka's own client and Avro serializer, unmodified, against the running API."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC
from local_stack.postgres import create_database
from local_stack.waiting import wait_until
from storage.control import make_engine, migrate
from storage.control.keys import create_key
from storage.settings import StorageSettings
from tests.integration.ingestion.processes import ApiProcess, running_api
from tests.integration.ingestion.reading import read_all
from tests.unit.ingestion.builders import download

pytestmark = pytest.mark.integration

ID = {"name": "id", "type": "string"}
V1 = {"type": "record", "name": "Order", "fields": [ID, {"name": "note", "type": ["null", "string"], "default": None}]}
V2 = {**V1, "fields": [ID, {"name": "amount", "type": "long", "default": 1}]}
BREAKING = {**V1, "fields": [{"name": "amount", "type": "long"}]}


@pytest.fixture(scope="module")
def registry_storage(postgres_url: str) -> StorageSettings:
    """A database for these tests, which use subjects of their own."""
    settings = StorageSettings(database_url=create_database(postgres_url, f"registry_{uuid4().hex}"))
    migrate(settings)
    return settings


@pytest.fixture(scope="module")
def registry_api(kafka_bootstrap: str, registry_storage: StorageSettings) -> Iterator[ApiProcess]:
    """The API over it."""
    with running_api(kafka_bootstrap, registry_storage.database_url) as process:
        yield process


@pytest.fixture
def client(registry_api: ApiProcess) -> Iterator[SchemaRegistryClient]:
    """The client of the serializers."""
    with SchemaRegistryClient({"url": str(registry_api.client.base_url)}) as client:
        yield client


def value_of(topic: str) -> SerializationContext:
    """The place of a record's value."""
    return SerializationContext(topic, MessageField.VALUE)


@pytest.mark.feature("S2-F2")
def test_a_serializer_registers_its_schema_and_another_reads_it_by_id(client: SchemaRegistryClient) -> None:
    topic = f"orders-{uuid4().hex[:8]}"
    old, new = AvroSerializer(client, json.dumps(V1)), AvroSerializer(client, json.dumps(V2))
    written = old({"id": "o-1", "note": "by hand"}, value_of(topic))
    written_later = new({"id": "o-2", "amount": 5}, value_of(topic))
    assert client.get_versions(f"{topic}-value") == [1, 2]
    as_new, as_old = AvroDeserializer(client, json.dumps(V2)), AvroDeserializer(client, json.dumps(V1))
    assert as_new(written, value_of(topic)) == {"id": "o-1", "amount": 1}
    assert as_old(written_later, value_of(topic)) == {"id": "o-2", "note": None}
    assert AvroDeserializer(client)(written, value_of(topic)) == {"id": "o-1", "note": "by hand"}


@pytest.mark.feature("S2-F2")
def test_an_incompatible_schema_is_refused_with_409_and_nothing_is_kept(client: SchemaRegistryClient) -> None:
    subject = f"orders-{uuid4().hex[:8]}-value"
    first = client.register_schema(subject, Schema(json.dumps(V1), "AVRO"))
    assert client.test_compatibility(subject, Schema(json.dumps(V2), "AVRO"))
    assert not client.test_compatibility(subject, Schema(json.dumps(BREAKING), "AVRO"))
    with pytest.raises(SchemaRegistryError) as refusal:
        client.register_schema(subject, Schema(json.dumps(BREAKING), "AVRO"))
    assert (refusal.value.http_status_code, refusal.value.error_code) == (409, 409)
    assert client.get_latest_version(subject).schema_id == first
    serializer = AvroSerializer(client, json.dumps(BREAKING))
    with pytest.raises((SchemaRegistryError, SerializationError)):
        serializer({"amount": 1}, value_of(subject.removesuffix("-value")))
    client.set_compatibility(subject, "NONE")
    assert client.get_compatibility(subject) == "NONE"
    client.register_schema(subject, Schema(json.dumps(BREAKING), "AVRO"))


@pytest.mark.feature("S2-F2")
def test_a_serializer_may_use_the_latest_version_instead_of_registering(client: SchemaRegistryClient) -> None:
    topic = f"orders-{uuid4().hex[:8]}"
    client.register_schema(f"{topic}-value", Schema(json.dumps(V2), "AVRO"))
    serializer = AvroSerializer(
        client, json.dumps(V1), conf={"auto.register.schemas": False, "use.latest.version": True}
    )
    written = serializer({"id": "o-1", "amount": 7}, value_of(topic))
    assert AvroDeserializer(client)(written, value_of(topic)) == {"id": "o-1", "amount": 7}
    assert client.get_versions(f"{topic}-value") == [1]


def test_the_client_finds_lists_and_deletes(client: SchemaRegistryClient) -> None:
    subject = f"orders-{uuid4().hex[:8]}-value"
    schema = Schema(json.dumps(V1), "AVRO")
    schema_id = client.register_schema(subject, schema)
    found = client.lookup_schema(subject, schema)
    assert (found.schema_id, found.version, found.subject) == (schema_id, 1, subject)
    assert subject in client.get_subjects()
    assert json.loads(client.get_schema(schema_id).schema_str) == V1
    assert client.get_version(subject, 1).schema_id == schema_id
    with pytest.raises(SchemaRegistryError) as missing:
        client.get_version(subject, 7)
    assert (missing.value.http_status_code, missing.value.error_code) == (404, 40402)
    assert client.delete_subject(subject) == [1]
    assert client.delete_subject(subject, permanent=True) == [1]
    assert subject not in client.get_subjects(deleted=True)
    assert client.get_mode(subject) == "READWRITE"


@pytest.mark.feature("S2-F2")
def test_ids_are_the_same_in_every_process_and_a_key_may_come_as_basic_authentication(
    client: SchemaRegistryClient, kafka_bootstrap: str, registry_storage: StorageSettings
) -> None:
    subject = f"orders-{uuid4().hex[:8]}-value"
    first = client.register_schema(subject, Schema(json.dumps(V1), "AVRO"))
    engine = make_engine(registry_storage)
    key = create_key(engine, "shop", "write")
    engine.dispose()
    with running_api(kafka_bootstrap, registry_storage.database_url, ENVIRONMENT="production") as other:
        url = str(other.client.base_url)
        with SchemaRegistryClient({"url": url, "basic.auth.user.info": f"shop:{key}"}) as neighbour:
            assert neighbour.register_schema(subject, Schema(json.dumps(V1), "AVRO")) == first
            second = neighbour.register_schema(subject, Schema(json.dumps(V2), "AVRO"))
            assert json.loads(client.get_schema(second).schema_str) == V2
            assert client.get_versions("content-downloads-value") == [1], "two processes have registered it"
        with SchemaRegistryClient({"url": url}) as stranger, pytest.raises(SchemaRegistryError) as refusal:
            stranger.get_subjects()
    assert refusal.value.http_status_code == 401


@pytest.mark.feature("S4-2")
def test_a_download_in_avro_is_kept_as_sent_with_the_stamps_of_its_json_form(
    registry_api: ApiProcess, client: SchemaRegistryClient, kafka_bootstrap: str
) -> None:
    wait_until(lambda: "content-downloads-value" in client.get_subjects(), "the contract to be registered", 10)
    serializer = AvroSerializer(client, conf={"auto.register.schemas": False, "use.latest.version": True})
    event_id = f"d-{uuid4().hex}"
    value = serializer(avro_download(event_id=event_id), value_of("content-downloads"))
    answer = registry_api.client.post(
        "/v1/events/download", content=value, headers={"Content-Type": "application/avro"}
    )
    assert (answer.status_code, answer.json()["event_id"]) == (202, event_id)
    [record] = read_all(kafka_bootstrap, LIVE_TOPIC, lambda landed: landed.headers.get("ce_id") == event_id)
    assert (record.value, record.key) == (value, b"user_1")
    stamps = {name: record.headers[name] for name in ("ce_type", "ce_dataschema", "ce_time", "ce_source")}
    assert stamps == {
        "ce_type": "download", "ce_dataschema": "download/1", "ce_time": "2026-11-21T09:30:00.000000Z", "ce_source": "public",
    }  # fmt: skip
    assert not [letter for letter in read_all(kafka_bootstrap, DEAD_LETTER_TOPIC) if letter.value == value]


def avro_download(**overrides: Any) -> dict[str, Any]:
    """A valid download as a serializer takes it: numbers are what their schema says."""
    event = download(**overrides)
    event["content"] = {**event["content"], "price": float(event["content"]["price"])}
    return event
