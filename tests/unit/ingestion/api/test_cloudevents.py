"""CloudEvents over HTTP: the three modes, and what the HTTP binding and the JSON format forbid."""

import base64
import json
from typing import Any

import pytest

from ingestion.api.cloudevent_headers import HeaderError, attributes_of, decoded_value
from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import EdgeClient, comment, download, encode, engagement, generic, product

Edge = tuple[EdgeClient, InMemorySink]
EVENT = {"specversion": "1.0", "id": "1", "source": "/sensors", "type": "com.example.read"}
HEADERS = {f"ce-{name}": value for name, value in EVENT.items()}
STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"


def event(**changes: Any) -> dict[str, Any]:
    """A valid event; a change to `...` removes the attribute."""
    return {name: value for name, value in {**EVENT, **changes}.items() if value is not ...}


def post(edge: Edge, content: bytes, content_type: str | None, **headers: str) -> tuple[int, dict[str, Any]]:
    given = {**headers, **({} if content_type is None else {"Content-Type": content_type})}
    answer = edge[0].post("/v1/cloudevents", content=content, headers=given)
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    "content_type", [STRUCTURED, f"{STRUCTURED}; charset=UTF-8", 'Application/CloudEvents+JSON;charset="utf-8"']
)
def test_a_structured_event_is_kept_byte_for_byte(edge: Edge, content_type: str) -> None:
    body = (
        b'{ "specversion":"1.0","id":" 7 ","source":"/a?b","type":"t","time":"2026-11-21T10:00:00+01:00","data":null}'
    )
    status, told = post(edge, body, content_type, **{"ce-id": "ignored", "Idempotency-Key": "k"})
    assert (status, told["event_id"]) == (202, "/a?b  7 ")
    record = edge[1].records[0]
    stamps = dict(record.headers)
    assert (record.key, record.value) == (b"/a?b", body)
    assert (stamps["ce_id"], stamps["ce_type"], stamps["ce_time"]) == ("/a?b  7 ", "t", "2026-11-21T09:00:00.000000Z")
    assert stamps["ce_dataschema"] == b"cloudevent/1"


def test_events_of_two_sources_with_one_id_are_two(edge: Edge) -> None:
    pairs = [("/a", "b c"), ("/a/b", "c"), ("/a", "b%20c"), ("/a" * 200, "1"), ("/a" * 200, "2")]
    for source, id_ in pairs:
        assert post(edge, encode(event(source=source, id=id_)), STRUCTURED)[0] == 202
    ids = {dict(record.headers)["ce_id"] for record in edge[1].records}
    assert len(ids) == len(pairs)
    assert max(map(len, ids)) == 200  # type: ignore[arg-type]  # texts


@pytest.mark.parametrize(
    ("content_type", "body", "member"),
    [
        ("application/json", b' {"a" : [1, 2.50]}\n', b'"data": {"a" : [1, 2.50]}\n'),
        ("application/vnd.x+json; charset=utf-8", b'"text"', b'"data":"text"'),
        ("text/json", b"null", b'"data":null'),
        (None, b"[1]", b'"data":[1]'),
        ("application/json; charset=iso-8859-1", b'"\xe9"', b'"data_base64":"Iuki"'),
        ("text/plain", b"[1]", b'"data_base64":"WzFd"'),
        (None, b"no JSON", b'"data_base64":"bm8gSlNPTg=="'),
        (
            "application/octet-stream",
            bytes(range(256)),
            b'"data_base64":"' + base64.b64encode(bytes(range(256))) + b'"',
        ),
        ("application/json", b"", b""),
    ],
)
def test_binary_mode_becomes_the_json_form_with_the_body_as_data(
    edge: Edge, content_type: str | None, body: bytes, member: bytes
) -> None:
    status, told = post(edge, body, content_type, **HEADERS)
    assert (status, told["event_id"]) == (202, "/sensors 1")
    value = edge[1].records[0].value
    assert value.endswith(member + b"}")
    attributes = {
        name: item for name, item in json.loads(value).items() if not name.startswith("data_") and name != "data"
    }
    assert attributes == {**EVENT, **({} if content_type is None else {"datacontenttype": content_type})}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Euro%20%E2%82%AC%20%f0%9f%98%80", "Euro € 😀"),
        ('"a \\"b\\" \\\\ c"', 'a "b" \\ c'),
        ("a b", "a b"),
        ("%41%2541", "A%41"),
        ('say "hi"', 'say "hi"'),
    ],
)
def test_header_values_are_unquoted_and_decoded_once(edge: Edge, raw: str, text: str) -> None:
    assert post(edge, b"", None, **{**HEADERS, "CE-Subject": raw, "ce-ext1": raw})[0] == 202
    kept = json.loads(edge[1].records[0].value)
    assert (kept["subject"], kept["ext1"]) == (text, text)


@pytest.mark.parametrize("raw", [b"%C0%A0", b"%ff", b"100%", b"%4", b"%zz", b"\xc3\xa9", b"%ED%A0%80"])
def test_header_values_that_are_not_percent_encoded_utf_8_are_refused(raw: bytes) -> None:
    with pytest.raises(HeaderError):
        decoded_value("ce-subject", raw)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"ce-id": ""}, "invalid_field"),
        ({"ce-source": "a b"}, "invalid_field"),
        ({"ce-specversion": "0.3"}, "invalid_field"),
        ({"ce-time": "noon"}, "invalid_field"),
        ({"ce-my-extension": "x"}, "invalid_field"),
        ({"ce-": "x"}, "invalid_field"),
        ({"ce-datacontenttype": "text/plain"}, "invalid_field"),
        ({"ce-data": "x"}, "invalid_field"),
        ({"ce-data_base64": "AAAA"}, "invalid_field"),
        ({"ce-subject": "%C0%A0"}, "invalid_field"),
        ({"ce-subject": "a%00b"}, "invalid_field"),
        ({"Content-Type": "not a media type"}, "invalid_field"),
    ],
)
def test_binary_events_that_break_a_rule_are_refused_and_kept(edge: Edge, headers: dict[str, str], code: str) -> None:
    status, told = post(edge, b"{}", None, **{**HEADERS, **headers})
    assert (status, told["code"]) == (422, code)
    letter = edge[1].records[0]
    assert letter.topic == "events.dlq.v1"
    assert b"/sensors" in letter.value or headers == {"ce-source": "a b"}


@pytest.mark.parametrize("missing", EVENT)
def test_required_attributes_are_required_in_every_mode(edge: Edge, missing: str) -> None:
    body = encode(event(**{missing: ...}))
    headers = {name: value for name, value in HEADERS.items() if name != f"ce-{missing}"}
    assert post(edge, body, STRUCTURED)[1]["code"] == "missing_field"
    assert post(edge, b"{}", "application/json", **headers)[1]["code"] == "missing_field"
    assert post(edge, b"[%s]" % body, BATCHED)[1]["errors"][0]["code"] == "missing_field"


def test_a_body_that_is_not_the_json_it_says_it_is_is_refused_whatever_it_would_splice(edge: Edge) -> None:
    for body in (b'{"a":1', b'1,"id":"2"', b"{}}", b"NaN", b'{"a":1,"a":2}', b"\xff"):
        status, _ = post(edge, body, "application/json", **HEADERS)
        assert status == 422
    assert {record.topic for record in edge[1].records} == {"events.dlq.v1"}
    assert json.loads(edge[1].records[0].value)["body_base64"] == base64.b64encode(b'{"a":1').decode()


def test_a_header_that_is_written_twice_is_refused() -> None:
    with pytest.raises(HeaderError, match="ce-id is written twice"):
        attributes_of([(b"ce-id", b"1"), (b"CE-Id", b"2")])


def test_a_batch_is_answered_per_event_and_kept_slice_by_slice(edge: Edge) -> None:
    good = b'{"id" : "1","specversion":"1.0","source":"/s","type":"t"}'
    status, told = post(edge, b"[ %s , {}, 7]" % good, f"{BATCHED}; charset=utf-8")
    assert (status, told["accepted"], told["rejected"]) == (202, 1, 2)
    assert [(error["index"], error["code"]) for error in told["errors"]] == [(1, "missing_field"), (2, "not_an_object")]
    assert [record.value for record in edge[1].records] == [good, b"{}", b"7"]


def test_an_empty_batch_is_taken(edge: Edge) -> None:
    assert post(edge, b"[]", BATCHED) == (202, {"accepted": 0, "rejected": 0, "errors": []})
    assert edge[1].records == []


@pytest.mark.parametrize(
    ("body", "code"), [(b"{}", "invalid_field"), (b"[", "malformed_json"), (b"[1,]", "malformed_json")]
)
def test_a_batch_that_is_no_array_is_refused_and_kept(edge: Edge, body: bytes, code: str) -> None:
    status, told = post(edge, body, BATCHED)
    assert (status, told["code"]) == (422, code)
    assert edge[1].records[0].value == body


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents+avro",
        "application/cloudevents",
        f"{STRUCTURED}; charset=utf-16",
        "application/cloudevents-batch+xml",
    ],
)
def test_other_event_formats_are_415(edge: Edge, content_type: str) -> None:
    assert post(edge, encode(EVENT), content_type, **HEADERS)[1]["code"] == "unsupported_media_type"
    assert edge[1].records == []


EVENTS = {
    "engagement": engagement(event_id="x-1", timestamp="2026-11-21T09:00:00Z"),
    "product": product(),
    "generic": generic(event_id="g-1"),
    "social": comment(),
    "download": download(timestamp=1795250000000),
}


def named_in(mode: str, contract: str, data: bytes) -> tuple[bytes, dict[str, str]]:
    """A request with one event that names a contract, by its attribute in the mode."""
    attribute, name = ("type", contract) if mode == "type" else ("dataschema", contract)
    if mode == "binary":
        return data, {**HEADERS, "ce-dataschema": f"tidemark:{contract}", "Content-Type": "application/json"}
    body = encode(event(**{attribute: f"tidemark:{name}" if mode == "uri" else name}))[:-1] + b',"data":' + data + b"}"
    if mode == "batch":
        return b"[%s]" % body, {"Content-Type": BATCHED}
    return body, {"Content-Type": STRUCTURED}


@pytest.mark.feature("S2-1")
@pytest.mark.parametrize("mode", ["uri", "bare", "type", "binary", "batch"])
@pytest.mark.parametrize("family", EVENTS)
def test_an_event_of_a_contract_of_ours_is_what_its_own_address_makes_of_it(edge: Edge, mode: str, family: str) -> None:
    client, sink = edge
    data = b" " + encode(EVENTS[family])
    content, headers = named_in(mode, f"{family}/1", data)
    answer = client.post("/v1/cloudevents", content=content, headers=headers)
    assert answer.status_code == 202, answer.text
    assert client.post(f"/v1/events/{family}", content=data.strip()).status_code == 202
    carried, own = sink.records
    assert carried.value.strip() == own.value
    assert (carried.topic, carried.key, carried.headers) == (own.topic, own.key, own.headers)


@pytest.mark.parametrize("mode", ["uri", "bare", "type", "binary"])
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (encode(engagement(platform="toaster", event_id="x-1")), "invalid_field"),
        (encode(engagement(user_id=...)), "missing_field"),
        (encode(engagement(timestamp="2036-01-01T00:00:00Z")), "occurred_in_future"),
        (b"7", "not_an_object"),
        (b'{"platform": "web", "n": 1e999}', "number_out_of_range"),
    ],
)
def test_what_breaks_the_named_contract_is_refused_as_at_the_familys_address(
    edge: Edge, mode: str, data: bytes, code: str
) -> None:
    client, sink = edge
    content, headers = named_in(mode, "engagement/1", data)
    answer = client.post("/v1/cloudevents", content=content, headers=headers)
    own = client.post("/v1/events/engagement", content=data)
    assert (answer.status_code, answer.json()["code"]) == (own.status_code, own.json()["code"]) == (422, code)
    carried, alone = sink.records
    if code != "number_out_of_range":  # not JSON at all, so the whole event is what is kept
        assert carried.value.strip() == alone.value
        told, told_alone = dict(carried.headers), dict(alone.headers)
        # Where it was found, then the same words.
        assert told.pop("ce_dlqmessage").endswith(told_alone.pop("ce_dlqmessage"))  # type: ignore[union-attr,arg-type]  # bytes
        assert told == told_alone


def test_an_event_without_an_id_has_that_of_its_envelope(edge: Edge) -> None:
    client, sink = edge
    data = encode(engagement(event_id=...))
    for _ in range(2):
        content, headers = named_in("uri", "engagement/1", data)
        assert client.post("/v1/cloudevents", content=content, headers=headers).json()["event_id"] == "/sensors 1"
    assert [dict(record.headers)["ce_id"] for record in sink.records] == ["/sensors 1"] * 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"dataschema": "tidemark:engagement/1", "id": ""}, "invalid_field"),
        ({"dataschema": "tidemark:engagement/1", "extra": {}}, "invalid_field"),
        ({"dataschema": "tidemark:engagement/1", "data": ...}, "missing_field"),
        ({"dataschema": "tidemark:engagement/1", "data": ..., "data_base64": "e30="}, "missing_field"),
        ({"dataschema": "tidemark:engagement/1", "type": "generic/1"}, "unknown_contract"),
        ({"dataschema": "engagement/9"}, "invalid_field"),
    ],
)
def test_the_envelope_keeps_the_rules_of_cloudevents(edge: Edge, changes: dict[str, Any], code: str) -> None:
    status, told = post(edge, encode(event(**{"data": engagement(), **changes})), STRUCTURED)
    assert (status, told["code"]) == (422, code), told
    assert [record.topic for record in edge[1].records] == ["events.dlq.v1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"dataschema": "https://example.com/engagement/1"},
        {"dataschema": "tidemark:engagement/9"},
        {"dataschema": "tidemark:segment/1"},
        {"type": "engagement"},
        {"type": "cloudevent/1"},
    ],
)
def test_a_schema_that_is_none_of_ours_leaves_the_event_as_it_came(edge: Edge, changes: dict[str, str]) -> None:
    body = encode(event(**changes, data={"platform": "toaster"}))
    assert post(edge, body, STRUCTURED)[0] == 202
    record = edge[1].records[0]
    assert (record.value, dict(record.headers)["ce_dataschema"]) == (body, b"cloudevent/1")


def test_claims_of_a_carried_product_are_judged_and_a_request_is_held_to_the_contract_it_names(edge: Edge) -> None:
    def send(**headers: str) -> tuple[int, str | None]:
        status, told = post(edge, content, STRUCTURED, **headers)
        return status, told.get("code")

    content, _ = named_in("uri", "product/1", encode(product(experiment_id="e", variant="no such")))
    assert send() == (422, "unknown_variant")
    assert edge[1].records[0].value == encode(product(experiment_id="e", variant="no such"))
    content, _ = named_in("uri", "product/1", encode(product()))
    assert send(**{"X-Tidemark-Contract": "product/1"}) == (202, None)
    assert send(**{"X-Tidemark-Contract": "engagement/1"}) == (422, "unknown_contract")
