"""The Segment HTTP API: keys, answers, bytes and clocks. That the library itself is content is tested against a running API."""

import base64
import gzip
import json
from typing import Any

import pytest

from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import READ_KEY, WRITE_KEY, EdgeClient, encode, engagement, running_edge

Edge = tuple[EdgeClient, InMemorySink]
JSON = {"Content-Type": "application/json"}


def track(**changes: Any) -> dict[str, Any]:
    """A track call; a change to `...` removes the field."""
    call = {"type": "track", "userId": "u1", "event": "Order Completed", "messageId": "m1", **changes}
    return {name: value for name, value in call.items() if value is not ...}


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


def headers_of(sink: InMemorySink, position: int = -1) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else (value or b"").decode()
        for name, value in sink.records[position].headers
    }


@pytest.mark.parametrize(
    ("call", "fields", "event_type"),
    [
        ("track", {"event": "Order Completed"}, "Order Completed"),
        ("identify", {"traits": {"plan": "pro"}}, "identify"),
        ("page", {"name": "Home"}, "page"),
        ("screen", {"properties": {}}, "screen"),
        ("group", {"groupId": "g1"}, "group"),
        ("alias", {"previousId": "a1"}, "alias"),
    ],
)
def test_each_call_has_its_address_which_is_written_into_the_item(
    edge: Edge, call: str, fields: dict[str, Any], event_type: str
) -> None:
    client, sink = edge
    body = json.dumps({"userId": "u1", "messageId": "m1", **fields}).encode()
    answer = client.post(f"/v1/{call}", content=body, headers=basic(WRITE_KEY))
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert sink.records[0].value == b'{"type":"%s",' % call.encode() + body[1:]
    stamps = headers_of(sink)
    assert (stamps["ce_id"], stamps["ce_type"], stamps["ce_source"], stamps["ce_dataschema"]) == (
        "m1",
        event_type,
        "shop",
        "segment/1",
    )


def test_an_item_that_says_its_type_is_kept_byte_for_byte(edge: Edge) -> None:
    client, sink = edge
    items = [b'{ "type":"track", "anonymousId":" a ","event":"E" }', encode(track())]
    answer = client.post("/v1/batch", content=b'{"batch": [%s ,%s]}' % (items[0], items[1]), headers=JSON)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert [record.value for record in sink.records] == items
    assert [record.key for record in sink.records] == [b"a", b"u1"]
    assert client.post("/v1/page", content=items[0]).status_code == 400


@pytest.mark.parametrize(
    ("times", "occurred_at"),
    [
        ({}, "09:30:00"),
        ({"timestamp": "2026-11-21T08:00:00Z"}, "08:00:00"),
        # The client's clock is three hours fast, which without the correction lies in the future.
        ({"timestamp": "2026-11-21T12:20:00Z", "sentAt": "2026-11-21T12:30:10Z"}, "09:19:50"),
        ({"timestamp": "2026-11-21T09:00:00Z", "originalTimestamp": "2026-11-21T07:00:00Z", "sentAt": "2026-11-21T07:00:01Z"}, "09:29:59"),
    ],
)  # fmt: skip
def test_the_clock_of_the_client_is_corrected(edge: Edge, times: dict[str, str], occurred_at: str) -> None:
    client, sink = edge
    assert client.post("/v1/track", json=track(**times)).status_code == 200
    sent_at = times.pop("sentAt", None)
    assert client.post("/v1/batch", json={"batch": [track(**times)], "sentAt": sent_at}).status_code == 200
    assert {headers_of(sink, position)["ce_time"][11:19] for position in (0, 1)} == {occurred_at}


@pytest.mark.parametrize("sent_at", ["yesterday", None, True, {}, "9999-12-31T23:59:59Z"])
def test_a_batch_that_was_sent_at_no_time_or_an_absurd_one_is_taken(edge: Edge, sent_at: Any) -> None:
    client, sink = edge
    batch = [track(timestamp="2026-11-21T08:00:00Z"), track()]
    answer = client.post("/v1/batch", json={"batch": batch, "sentAt": sent_at})
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert len(sink.records) == 2


def test_a_bad_item_costs_no_good_one_and_is_kept(edge: Edge) -> None:
    client, sink = edge
    answer = client.post("/v1/batch", json={"batch": [track(), track(userId=None, messageId="m2"), 7]})
    assert answer.status_code == 200
    told = answer.json()
    assert (told["success"], told["accepted"], told["rejected"]) == (True, 1, 2)
    assert [(error["index"], error["code"]) for error in told["errors"]] == [(1, "missing_field"), (2, "not_an_object")]
    letter = headers_of(sink, 1)
    assert (letter["ce_id"], letter["ce_type"], letter["ce_dlqreason"]) == ("m2", "Order Completed", "missing_field")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (encode({"batch": [7]}), "not_an_object"),
        (b"{", "malformed_json"),
        (b"[]", "not_an_object"),
        (b"{}", "missing_field"),
        (b'{"batch":{}}', "invalid_field"),
        (b'{"batch":[],"batch":[]}', "duplicate_key"),
        (encode(engagement()), "missing_field"),
    ],
)
def test_a_batch_without_a_good_item_is_a_400_and_is_kept(edge: Edge, content: bytes, code: str) -> None:
    client, sink = edge
    answer = client.post("/v1/batch", content=content, headers=JSON)
    assert (answer.status_code, answer.json()["success"], answer.json()["code"]) == (400, False, code)
    assert [record.topic for record in sink.records] == ["events.dlq.v1"]


def test_an_empty_batch_is_a_success(edge: Edge) -> None:
    client, sink = edge
    assert client.post("/v1/batch", json={"batch": []}).json() == {"success": True}
    assert sink.records == []


def test_whatever_was_not_acknowledged_makes_the_request_retryable_and_rejects_nothing_yet(edge: Edge) -> None:
    client, sink = edge
    sink.failing = {1}
    answer = client.post("/v1/batch", json={"batch": [track(), 7, track(messageId="m2")]})
    assert (answer.status_code, answer.json()["retryable"]) == (503, True)
    assert [record.topic for record in sink.records] == ["events.raw.v1"], "the library sends the bad one again too"
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "content_type", [None, "application/x-ndjson", "text/plain", "application/x-www-form-urlencoded"]
)
def test_lines_stay_what_they_are(edge: Edge, content_type: str | None) -> None:
    client, sink = edge
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = client.post("/v1/batch", content=encode(engagement()) + b"\n{", headers=headers)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (202, 1, 1)
    assert headers_of(sink, 0)["ce_dataschema"] == "engagement/1"


def test_gzip_is_unpacked_for_single_calls_too(edge: Edge) -> None:
    client, _ = edge
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json; charset=utf-8"}
    for path, body in (("/v1/track", track()), ("/v1/batch", {"batch": [track()]})):
        assert client.post(path, content=gzip.compress(encode(body)), headers=headers).json() == {"success": True}


def test_an_item_without_a_context_gets_the_batchs(edge: Edge) -> None:
    client, sink = edge
    bare, own = b'{ "type":"page","userId":"u1"}', b'{"type":"page","userId":"u1","context":{}}'
    body = b'{"batch":[%s,%s,{}],"context":{"locale" : "de"}}' % (bare, own)
    client.post("/v1/batch", content=body, headers=JSON)
    assert [record.value for record in sink.records] == [
        b'{"context":{"locale" : "de"}, "type":"page","userId":"u1"}',
        own,
        b'{"context":{"locale" : "de"}}',
    ]


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
def test_the_key_may_be_in_the_body_and_is_not_kept(path: str) -> None:
    with running_edge(ENVIRONMENT="production") as (client, sink):

        def post(**beside: Any) -> int:
            body = {**track(), **beside} if path == "/v1/track" else {"batch": [{**track(), **beside}], **beside}
            return client.post(path, json=body).status_code

        assert (
            post(),
            post(writeKey="no key"),
            post(writeKey="schlüssel ☃"),
            post(writeKey=READ_KEY),
            post(writeKey=7),
        ) == (
            401,
            401,
            401,
            403,
            401,
        )
        assert sink.records == []
        assert post(writeKey=WRITE_KEY) == 200
        assert headers_of(sink)["ce_source"] == "shop"
        assert WRITE_KEY.encode() not in sink.records[0].value
        assert json.loads(sink.records[0].value)["writeKey"] is None
        # A key in a header is the one that counts.
        both = client.post(path, json={**track(), "batch": [], "writeKey": "no key"}, headers=basic(WRITE_KEY))
        assert both.status_code == 200


@pytest.mark.parametrize(
    "credentials", ["", "!", "tmw_test", base64.b64encode(b":" + WRITE_KEY.encode()).decode(), "/w=="]
)
def test_basic_credentials_without_the_key_as_user_name_are_wrong(edge: Edge, credentials: str) -> None:
    client, _ = edge
    for path in ("/v1/track", "/api/v1/events"):
        answer = client.post(path, json=track(), headers={"Authorization": f"Basic {credentials}"})
        assert answer.status_code == 401
    accepted = client.post("/api/v1/events", json=engagement(), headers=basic(WRITE_KEY))
    assert (accepted.status_code, accepted.headers["X-Tidemark-App"]) == (201, "shop")


@pytest.mark.parametrize(
    ("call", "required"),
    [("track", ["event"]), ("group", ["groupId"]), ("alias", ["previousId", "userId"]), ("page", None)],
)
def test_the_document_of_an_address_asks_for_what_its_call_needs(edge: Edge, call: str, required: Any) -> None:
    # Regression: with the type left to the address, the document asked every call for what an alias and a group need.
    operation = edge[0].app.openapi()["paths"][f"/v1/{call}"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert (schema.get("required"), schema["properties"]["type"]["enum"]) == (required, [call])
