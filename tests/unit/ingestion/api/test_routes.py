"""The shapes and statuses of the answers, and what reaches the sink."""

import gzip
from typing import Any
from uuid import UUID

import pytest

from ingestion.api.idempotency import event_id_for
from ingestion.sinks import InMemorySink
from tests.fixtures.pages import assert_loads_from_its_own_host
from tests.unit.ingestion.builders import WRITE_KEY, EdgeClient, comment, download, encode, engagement, generic, product

Edge = tuple[EdgeClient, InMemorySink]


def headers_of(sink: InMemorySink, position: int = -1) -> dict[str, str]:
    return {
        name: value.decode() if isinstance(value, bytes) else str(value)
        for name, value in sink.records[position].headers
    }


@pytest.mark.feature("S0-1")
def test_a_single_event_is_created_with_its_bytes_and_stamps(edge: Edge) -> None:
    client, sink = edge
    body = b'{ "event_type":"like", "user_id":" u1 ","platform":"ios","event_id":"e1","timestamp":1795252000 }'
    answer = client.post("/api/v1/events", content=body, headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    assert answer.status_code == 201
    assert answer.json() == {
        "status": "success",
        "event_id": "e1",
        "message": "Event published successfully",
        "timestamp": "2026-11-21T09:30:00.000000Z",
    }
    record = sink.records[0]
    assert (record.topic, record.key, record.value) == ("events.raw.v1", b"u1", body)
    assert headers_of(sink) == {
        "ce_specversion": "1.0",
        "ce_id": "e1",
        "ce_source": "public",
        "ce_type": "like",
        "ce_time": "2026-11-21T09:06:40.000000Z",
        "ce_dataschema": "engagement/1",
        "ce_receivedat": "2026-11-21T09:30:00.000000Z",
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
    }


def test_an_event_without_id_and_time_gets_both_from_the_server(edge: Edge) -> None:
    client, sink = edge
    answer = client.post("/api/v1/events", json=engagement(event_id=...))
    stamps = headers_of(sink)
    assert UUID(answer.json()["event_id"]).version == 7
    assert stamps["ce_id"] == answer.json()["event_id"]
    assert stamps["ce_time"] == stamps["ce_receivedat"]


@pytest.mark.feature("S0-3")
def test_a_rejected_event_is_kept_with_reason_and_bytes(edge: Edge) -> None:
    client, sink = edge
    answer = client.post("/api/v1/events", content=b'{"event_type":"buy","user_id":"u1","platform":"web"}')
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_field"
    assert "event_type" in answer.json()["message"]
    record = sink.records[0]
    assert (record.topic, record.key) == ("events.dlq.v1", b"u1")
    assert record.value == b'{"event_type":"buy","user_id":"u1","platform":"web"}'
    stamps = headers_of(sink)
    assert (stamps["ce_dlqstage"], stamps["ce_dlqreason"]) == ("edge", "invalid_field")


@pytest.mark.feature("S0-2")
@pytest.mark.parametrize(("count", "status"), [(1, 201), (1000, 201), (1001, 422), (0, 422)])
def test_batch_sizes(edge: Edge, count: int, status: int) -> None:
    client, sink = edge
    answer = client.post("/api/v1/events/batch", json={"events": [engagement(event_id=f"e{i}") for i in range(count)]})
    body = answer.json()
    assert answer.status_code == status
    assert set(body) == {"status", "total_events", "successful", "failed", "errors", "timestamp"}
    assert (body["total_events"], body["successful"]) == (count, count if status == 201 else 0)
    assert len(sink.records) == body["successful"]
    assert body["status"] == ("success" if status == 201 else "error")


@pytest.mark.feature("S0-2")
def test_a_batch_with_invalid_events_is_partial_and_names_them(edge: Edge) -> None:
    client, sink = edge
    events: list[Any] = [engagement(event_id="a"), engagement(platform="toaster"), 7, engagement(event_id="b")]
    answer = client.post("/api/v1/events/batch", json={"events": events})
    body = answer.json()
    assert answer.status_code == 201
    assert (body["status"], body["total_events"], body["successful"], body["failed"]) == ("partial", 4, 2, 2)
    assert [(error["index"], error["reason"]) for error in body["errors"]] == [
        (1, "invalid_field"),
        (2, "not_an_object"),
    ]
    assert [record.topic for record in sink.records] == [
        "events.raw.v1",
        "events.raw.v1",
        "events.dlq.v1",
        "events.dlq.v1",
    ]
    assert sink.records[0].value == encode(events[0]).replace(b": ", b":").replace(b", ", b",")


@pytest.mark.feature("S0-2")
def test_a_batch_of_invalid_events_only_is_an_error_of_the_same_shape(edge: Edge) -> None:
    client, sink = edge
    answer = client.post("/api/v1/events/batch", json={"events": [{}, []]})
    body = answer.json()
    assert answer.status_code == 422
    assert (body["status"], body["total_events"], body["successful"], body["failed"]) == ("error", 2, 0, 2)
    assert [error["index"] for error in body["errors"]] == [0, 1]
    assert [record.topic for record in sink.records] == ["events.dlq.v1"] * 2


@pytest.mark.feature("S0-2")
def test_a_failure_midway_is_partial_and_retryable_per_index(edge: Edge) -> None:
    client, sink = edge
    sink.failing = {1}
    answer = client.post("/api/v1/events/batch", json={"events": [engagement(event_id=f"e{i}") for i in range(3)]})
    body = answer.json()
    assert (answer.status_code, body["status"], body["successful"]) == (201, "partial", 2)
    assert [(error["index"], error["reason"], error["retryable"]) for error in body["errors"]] == [
        (1, "not_delivered", True)
    ]


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"events":{}}', b"{}", b'{"events":[],"events":[1]}', b'{"events":[1],"x":NaN}', b'{"events":[1],"x":"\xff"}'],
)  # fmt: skip
def test_a_batch_that_is_no_list_of_events_is_refused_and_kept_whole(edge: Edge, body: bytes) -> None:
    client, sink = edge
    answer = client.post("/api/v1/events/batch", content=body)
    assert answer.status_code == 422
    assert [record.value for record in sink.records] == [body]
    assert sink.records[0].topic == "events.dlq.v1"


@pytest.mark.feature("S2-1")
def test_a_generic_event_is_accepted(edge: Edge) -> None:
    client, sink = edge
    answer = client.post("/events", json=generic())
    body = answer.json()
    assert answer.status_code == 202
    assert (body["status"], body["message"]) == ("accepted", "Event accepted for processing")
    assert headers_of(sink)["ce_id"] == body["event_id"]
    assert headers_of(sink)["ce_dataschema"] == "generic/1"


@pytest.mark.feature("S2-1")
def test_an_idempotency_key_makes_the_event_id(edge: Edge) -> None:
    client, sink = edge
    answers = [client.post("/events", json=generic(), headers={"Idempotency-Key": "k1"}).json() for _ in range(2)]
    assert answers[0]["event_id"] == answers[1]["event_id"] == event_id_for("public", "k1")
    assert event_id_for("public", "k1") != event_id_for("shop", "k1")
    assert len(sink.records) == 2
    conflict = client.post("/events", json=generic(event_id="other"), headers={"Idempotency-Key": "k1"})
    assert (conflict.status_code, conflict.json()["code"]) == (409, "idempotency_conflict")


@pytest.mark.parametrize("event", [generic(payload=...), generic(event_ts=1), generic(event_time=1)], ids=repr)
def test_events_takes_exactly_one_family_and_names_the_rule(edge: Edge, event: dict[str, Any]) -> None:
    client, _ = edge
    answer = client.post("/events", json=event)
    assert answer.status_code == 422
    assert "payload" in answer.json()["message"]
    assert "event_ts" in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/events/engagement", engagement(), 202),
        ("/v1/events/generic", generic(), 202),
        ("/v1/events/generic", engagement(), 422),
        ("/v1/events/engagement/batch", {"events": [engagement()]}, 202),
        ("/v1/events/generic/batch", {"events": [generic(), {}]}, 202),
        ("/v1/events/weather", generic(), 404),
    ],
)
def test_each_family_has_its_own_address(edge: Edge, path: str, body: dict[str, Any], status: int) -> None:
    client, _ = edge
    assert client.post(path, json=body).status_code == status


def test_mixed_lines_are_answered_by_line_number(edge: Edge) -> None:
    client, sink = edge
    lines = [encode(engagement()), b"", encode(generic()) + b"\r", b"  ", b"{oops", encode({"user_id": "u"})]
    answer = client.post("/v1/batch", content=b"\n".join(lines))
    body = answer.json()
    assert answer.status_code == 202
    assert (body["accepted"], body["rejected"]) == (2, 2)
    assert [(error["index"], error["code"]) for error in body["errors"]] == [
        (4, "malformed_json"),
        (5, "unknown_family"),
    ]
    assert [record.value for record in sink.records] == [lines[0], lines[2][:-1], lines[4], lines[5]]


@pytest.mark.parametrize(("content", "status"), [(b"", 422), (b"\n\n", 422), (b"{}\n[]", 422)])
def test_lines_without_an_accepted_event_are_422(edge: Edge, content: bytes, status: int) -> None:
    client, _ = edge
    assert client.post("/v1/batch", content=content).status_code == status


def test_gzip_members_are_unpacked(edge: Edge) -> None:
    client, _ = edge
    packed = gzip.compress(encode(engagement()) + b"\n") + gzip.compress(encode(generic()))
    answer = client.post("/v1/batch", content=packed, headers={"Content-Encoding": "gzip"})
    assert answer.json()["accepted"] == 2


def test_the_document_describes_bodies_that_the_framework_never_parses(edge: Edge) -> None:
    client, _ = edge
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert schemas["EngagementEvent"]["required"] == ["event_type", "user_id", "platform"]
    body = document["paths"]["/api/v1/events"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/EngagementEvent"}
    assert "application/x-ndjson" in document["paths"]["/v1/batch"]["post"]["requestBody"]["content"]


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_documentation_needs_no_network(edge: Edge, path: str) -> None:
    client, _ = edge
    assert_loads_from_its_own_host(client.get, path)


def test_events_answers_each_family_as_its_clients_expect(edge: Edge) -> None:
    client, sink = edge
    answer = client.post("/events", json=product())
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "event_id": "p-1"})
    assert headers_of(sink)["ce_dataschema"] == "product/1"
    assert client.post("/events", json=generic()).status_code == 202
    assert client.post("/events", json=product(payload={})).status_code == 422


@pytest.mark.parametrize(
    ("family", "event"), [("product", product()), ("social", comment()), ("download", download())], ids=str
)
def test_every_family_has_its_own_address(edge: Edge, family: str, event: dict[str, Any]) -> None:
    client, sink = edge
    single = client.post(f"/v1/events/{family}", json=event)
    batch = client.post(f"/v1/events/{family}/batch", json={"events": [event, engagement()]})
    lines = client.post("/v1/batch", content=encode(event) + b"\n" + encode(engagement()))
    assert (single.status_code, batch.status_code, lines.status_code) == (202, 202, 202)
    assert (batch.json()["successful"], batch.json()["failed"]) == (1, 1)
    assert lines.json()["accepted"] == 2
    contracts = [dict(record.headers).get("ce_dataschema") for record in sink.records]
    assert contracts == [f"{family}/1".encode()] * 2 + [None] + [f"{family}/1".encode(), b"engagement/1"]


def test_an_event_of_another_app_is_refused_and_kept(edge: Edge) -> None:
    client, sink = edge
    key = {"X-API-Key": WRITE_KEY}
    assert client.post("/events", json=product(app_id="shop"), headers=key).status_code == 200
    assert client.post("/events", json=product(app_id="other")).status_code == 200  # nobody's key: nobody's app
    refused = client.post("/events", json=product(app_id="other"), headers=key)
    assert (refused.status_code, refused.json()["code"]) == (403, "wrong_app")
    assert sink.records[-1].topic == "events.dlq.v1"
    batch = client.post(
        "/v1/batch", content=encode(product(app_id="other")) + b"\n" + encode(engagement()), headers=key
    )
    assert [(error["index"], error["code"]) for error in batch.json()["errors"]] == [(0, "wrong_app")]
