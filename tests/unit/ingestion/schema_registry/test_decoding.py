"""Avro bodies become the JSON text that their contract judges, whatever the bytes and whatever their writer's schema."""

import io
import json
from functools import cache
from typing import Any

import fastavro
import pytest

from ingestion.contracts.avro_wire import AvroError, decodable
from ingestion.contracts.families import Family, only
from ingestion.contracts.formats import avro
from ingestion.contracts.registry import CONTRACTS
from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC
from ingestion.contracts.validation import Rejection, Validator, ValidEvent
from ingestion.schema_registry.decoding import AvroDecoder, AvroJudge, decoder_of
from ingestion.schema_registry.store import StoreUnavailableError
from ingestion.sinks import InMemorySink
from local_stack.waiting import wait_until
from tests.unit.ingestion.builders import NOW, EdgeClient, download

V1: dict[str, Any] = avro.schema(CONTRACTS["download/1"]) or {}
AVRO = {"Content-Type": "application/vnd.confluent.avro"}


def second_version() -> dict[str, Any]:
    """download/1 with a field more that has a default, and without the optional `error_code`."""
    schema = json.loads(json.dumps(V1))
    how = next(field["type"] for field in schema["fields"] if field["name"] == "download")
    how["fields"] = [field for field in how["fields"] if field["name"] != "error_code"]
    schema["fields"].append({"name": "client", "type": "string", "default": "unknown"})
    return dict(schema)


V2 = second_version()


@cache
def _parsed(text: str) -> Any:
    return fastavro.parse_schema(json.loads(text))


def encoded(event: Any, schema: Any = V1, schema_id: int = 1) -> bytes:
    """A record as a serializer writes it."""
    buffer = io.BytesIO()
    buffer.write(b"\0" + schema_id.to_bytes(4, "big"))
    fastavro.schemaless_writer(buffer, _parsed(json.dumps(schema)), event)
    return buffer.getvalue()


def decoded(value: bytes, writer: Any = V1, reader: Any = V1) -> Any:
    """The document that a decoder of `reader` makes of it."""
    decoder = AvroDecoder({1: json.dumps(writer)}.get, json.loads(json.dumps(reader)))
    decoder.learn([value])
    return json.loads(decoder.json_text(value))


@pytest.mark.feature("S4-2")
def test_data_of_the_first_version_reads_with_the_second_and_back() -> None:
    failed = {
        "status": "failed",
        "duration_seconds": 1.0,
        "speed_mbps": 2.0,
        "error_code": "E7",
        "error_message": "gone",
    }
    old = download(download=failed)
    as_new = decoded(encoded(old), writer=V1, reader=V2)
    assert as_new["client"] == "unknown"
    assert as_new["download"] == {name: value for name, value in failed.items() if name != "error_code"}
    new = {**download(download={**failed, "error_code": ...}), "client": "ios-7"}
    del new["download"]["error_code"]
    as_old = decoded(encoded(new, V2), writer=V2, reader=V1)
    assert "client" not in as_old
    assert as_old["download"] == {**failed, "error_code": None}


@pytest.mark.feature("S4-2")
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"user_id": " "},
        {"event_id": " "},
        {"timestamp": 1795253400000 + 61_000},
        {"timestamp": 2**62},
        {"user_id": r'a:"\ü'},
        {"user_id": "a\0b"},
    ],
)
def test_the_verdict_is_that_of_the_json_form(changes: dict[str, Any]) -> None:
    event = download(**changes)
    value = encoded(event)
    decoder = decoder_of("download/1", {1: json.dumps(V1)}.get)
    decoder.learn([value])
    validator = Validator(NOW, NOW.date().replace(year=2015))
    rule = only(Family.DOWNLOAD)
    assert AvroJudge(validator, decoder).judge(value, rule) == validator.judge(json.dumps(event).encode(), rule)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_has_not_is_refused_as_such(number: float) -> None:
    content = {**download()["content"], "price": number}
    value = encoded(download(content=content))
    decoder = decoder_of("download/1", {1: json.dumps(V1)}.get)
    decoder.learn([value])
    verdict = AvroJudge(Validator(NOW, NOW.date()), decoder).judge(value, only(Family.DOWNLOAD))
    assert isinstance(verdict, Rejection)
    assert verdict.reason == "not_finite_number"


GOOD = encoded(download())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\0", "malformed_avro"),
        (b"\0\0\0\0\1", "malformed_avro"),
        (b"\1" + GOOD[1:], "malformed_avro"),
        (b'{"a":1}', "malformed_avro"),
        (b"\0\0\0\0\2" + GOOD[5:], "unknown_schema"),
        (GOOD[:-1], "malformed_avro"),
        (GOOD + b"\0", "malformed_avro"),
        (GOOD[:5] + b"\xff" * 30, "malformed_avro"),
        (GOOD.replace(b"A film", b"A fi\xffm"), "malformed_avro"),
        (b"\0\0\0\0\3" + b"\2a", "malformed_avro"),
    ],
)
def test_bytes_that_cannot_be_read_have_a_reason(value: bytes, reason: str) -> None:
    other = {"type": "record", "name": "Other", "fields": [{"name": "id", "type": "string"}]}
    decoder = AvroDecoder({1: json.dumps(V1), 3: json.dumps(other)}.get, json.loads(json.dumps(V1)))
    decoder.learn([value])
    with pytest.raises(AvroError) as refusal:
        decoder.json_text(value)
    assert refusal.value.reason == reason


def _nested(levels: int) -> Any:
    schema: Any = "int"
    for level in range(levels):
        fields = [{"name": "a", "type": schema}, {"name": "b", "type": f"R{level - 1}" if level else "int"}]
        schema = {"type": "record", "name": f"R{level}", "fields": fields}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]},
        {"type": "array", "items": "null"},
        {"type": "array", "items": {"type": "record", "name": "Empty", "fields": []}},
        {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}},
        _nested(40),
        {"type": "record"},
        {"type": "furlong"},
    ],
)
def test_a_schema_that_could_exhaust_a_decoder_is_not_decoded_with(schema: Any) -> None:
    assert decodable(json.dumps(schema)) is None


def test_a_schema_of_many_types_within_reason_is() -> None:
    assert decodable(json.dumps(_nested(5))) == _nested(5)


class Edge:
    """An API in this process, the sink behind it and the id of its own contract."""

    def __init__(self, client: EdgeClient, sink: InMemorySink) -> None:
        path = "/subjects/content-downloads-value/versions/latest"
        wait_until(lambda: client.get(path).status_code == 200, "the contract to be registered", 10)
        self.client, self.sink, self.schema_id = client, sink, client.get(path).json()["id"]


@pytest.fixture
def avro_edge(edge: tuple[EdgeClient, InMemorySink]) -> Edge:
    """The API once its contract is registered."""
    return Edge(*edge)


def test_a_download_is_taken_by_each_media_type_and_the_bytes_are_kept(avro_edge: Edge) -> None:
    value = encoded(download(), schema_id=avro_edge.schema_id)
    for media_type in ("application/avro", "avro/binary", "application/vnd.confluent.avro; charset=x"):
        answer = avro_edge.client.post("/v1/events/download", content=value, headers={"Content-Type": media_type})
        assert (answer.status_code, answer.json()["event_id"]) == (202, "d-1")
    assert [(record.topic, record.key, record.value) for record in avro_edge.sink.records] == [
        (LIVE_TOPIC, b"user_1", value)
    ] * 3


def test_a_writer_of_a_later_version_is_understood_as_soon_as_it_is_registered(avro_edge: Edge) -> None:
    value = encoded({**download(), "client": "ios"}, V2, schema_id=avro_edge.schema_id + 1)
    assert avro_edge.client.post("/v1/events/download", content=value, headers=AVRO).json()["code"] == "unknown_schema"
    answer = avro_edge.client.post("/subjects/content-downloads-value/versions", json={"schema": json.dumps(V2)})
    assert answer.json()["id"] == avro_edge.schema_id + 1
    assert avro_edge.client.post("/v1/events/download", content=value, headers=AVRO).status_code == 202


@pytest.mark.parametrize(
    ("tail", "reason"), [(GOOD[5:-1], "malformed_avro"), (encoded(download(user_id=" "))[5:], "invalid_field")]
)
def test_a_refused_download_is_a_dead_letter_with_its_bytes(avro_edge: Edge, tail: bytes, reason: str) -> None:
    value = b"\0" + avro_edge.schema_id.to_bytes(4, "big") + tail
    answer = avro_edge.client.post("/v1/events/download", content=value, headers=AVRO)
    assert (answer.status_code, answer.json()["code"]) == (422, reason)
    [letter] = avro_edge.sink.records
    assert (letter.topic, letter.value) == (DEAD_LETTER_TOPIC, value)
    assert ("ce_dlqreason", reason.encode()) in letter.headers


def test_the_json_form_and_other_families_are_as_before(avro_edge: Edge) -> None:
    assert avro_edge.client.post("/v1/events/download", json=download()).status_code == 202
    answer = avro_edge.client.post("/v1/events/download", content=GOOD, headers={"Content-Type": "application/json"})
    assert answer.json()["code"] == "invalid_utf8"
    assert avro_edge.client.post("/v1/events/social", content=GOOD, headers=AVRO).json()["code"] == "invalid_utf8"


def test_while_nobody_knows_the_schema_nothing_is_decided() -> None:
    def away(_schema_id: int) -> str | None:
        raise StoreUnavailableError("away")

    with pytest.raises(StoreUnavailableError):
        decoder_of("download/1", away).learn([GOOD])


def test_a_valid_event_has_its_stamps() -> None:
    decoder = decoder_of("download/1", {1: json.dumps(V1)}.get)
    decoder.learn([GOOD])
    verdict = AvroJudge(Validator(NOW, NOW.date().replace(year=2015)), decoder).judge(GOOD, only(Family.DOWNLOAD))
    assert verdict == ValidEvent("download/1", "download", "user_1", "d-1", "2026-11-21T09:30:00.000000Z")
