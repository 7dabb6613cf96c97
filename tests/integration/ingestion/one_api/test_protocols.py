"""Clients that exist, unmodified, against the API: Segment's library and the SDK of CloudEvents; only host and key are ours."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import uvicorn
from cloudevents.core.bindings import http
from cloudevents.core.bindings.http import HTTPMessage
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from segment.analytics.client import Client
from sqlalchemy import Engine

from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC
from ingestion.sinks import InMemorySink
from local_stack.ports import free_port, is_listening
from local_stack.waiting import wait_until
from tests.integration.ingestion.one_api.keys import known_key
from tests.integration.ingestion.processes import ApiProcess
from tests.integration.ingestion.reading import Landed, read_all
from tests.unit.ingestion.builders import WRITE_KEY, EdgeClient, engagement

pytestmark = pytest.mark.integration


@pytest.fixture
def app_id() -> str:
    """An app of this test alone: the broker is shared."""
    return f"app_{uuid4().hex[:8]}"


@pytest.fixture
def key(engine: Engine, app_id: str) -> str:
    """The app's write key."""
    return known_key(engine, app_id)


def landed(bootstrap: str, topic: str, app_id: str) -> list[Landed]:
    return read_all(bootstrap, topic, lambda record: record.headers.get("ce_source") == app_id)


def segment_client(host: str, key: str, failures: list[Any], **options: Any) -> Client:
    def note(error: Exception, items: list[Any]) -> None:
        failures.append((error, items))

    return Client(key, host=host, on_error=note, upload_interval=0.05, **options)


@pytest.mark.parametrize("gzip", [False, True])
def test_every_call_of_segments_library_is_in_kafka_once(
    api: ApiProcess, kafka_bootstrap: str, app_id: str, key: str, gzip: bool
) -> None:
    failures: list[Any] = []
    client = segment_client(str(api.client.base_url), key, failures, gzip=gzip)
    before = datetime.now(UTC)
    past = before - timedelta(days=40)
    sent = [
        client.track("u1", "Order Completed", {"total": 3.5, "at": past}, context={"ip": "192.0.2.1"}, timestamp=past),
        client.identify("u1", {"plan": "pro"}),
        client.page("u1", "Docs", "Home", {"url": "/"}),
        client.screen(anonymous_id="a1", name="Main"),
        client.group("u1", "g1", {"seats": 3}),
        client.alias("a1", "u1"),
    ]
    client.shutdown()
    assert failures == []
    messages = {message["messageId"]: message for is_queued, message in sent if is_queued}
    records = landed(kafka_bootstrap, LIVE_TOPIC, app_id)
    assert {record.headers["ce_id"]: json.loads(record.value) for record in records} == {
        id_: json.loads(json.dumps(message, default=datetime.isoformat)) for id_, message in messages.items()
    }
    assert len(records) == len(messages) == 6
    by_type = {record.headers["ce_type"]: record for record in records}
    assert set(by_type) == {"Order Completed", "identify", "page", "screen", "group", "alias"}
    assert (by_type["screen"].key, by_type["group"].key) == (b"a1", b"u1")
    assert {record.headers["ce_dataschema"] for record in records} == {"segment/1"}
    times = {name: datetime.fromisoformat(record.headers["ce_time"]) for name, record in by_type.items()}
    assert abs(times["Order Completed"] - past) < timedelta(seconds=10)
    assert before - timedelta(seconds=10) < times["page"] < datetime.now(UTC) + timedelta(seconds=10)


def test_segments_library_hears_of_a_wrong_key_and_of_a_batch_with_nothing_good(
    api: ApiProcess, kafka_bootstrap: str, app_id: str, key: str
) -> None:
    failures: list[Any] = []
    for write_key, call in (("tmw_unknown", "Order Completed"), (key, "")):
        client = segment_client(str(api.client.base_url), write_key, failures)
        client.track("u1", call)
        client.shutdown()
    assert [(error.status, error.code) for error, _ in failures] == [(401, "wrong_key"), (400, "invalid_field")]
    [letter] = landed(kafka_bootstrap, DEAD_LETTER_TOPIC, app_id)
    assert (letter.key, letter.headers["ce_dlqreason"]) == (b"u1", "invalid_field")


@contextmanager
def listening(edge: EdgeClient) -> Iterator[str]:
    """The address of an API in this process, over parts in memory."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(edge.app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: is_listening(port), "the API to listen", 20)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


def test_segments_library_sends_again_what_was_not_acknowledged_and_loses_no_good_item_to_a_bad_one() -> None:
    sink, failures = InMemorySink(), list[Any]()
    with listening(EdgeClient(sink, retry_after_seconds=1)) as host:
        client = segment_client(host, WRITE_KEY, failures, upload_size=3)
        sink.failing = {1}  # the third: the second is none of the good ones
        for message_id, name in (("m1", "first"), ("m2", ""), ("m3", "third")):
            client.track("u1", name, message_id=message_id)
        client.shutdown()
        wait_until(lambda: len(sink.records) == 4, "the second attempt", 20)
    assert failures == []
    ids = [dict(record.headers)["ce_id"] for record in sink.records if record.topic == LIVE_TOPIC]
    assert ids == ["m1", "m1", "m3"]
    assert len([record for record in sink.records if record.topic == DEAD_LETTER_TOPIC]) == 1, (
        "refused once, by the second answer"
    )


CLOUD_EVENTS = [
    CloudEvent(
        {"type": "com.example.read", "source": "/sensors/1?a=b", "subject": 'Größe "1" 😀', "ext1": "100 %", "n": 7},
        {"value": 3.5, "unit": "°C"},
    ),
    CloudEvent({"type": "t", "source": "urn:a", "datacontenttype": "application/octet-stream"}, b"\x00\xff"),
    CloudEvent({"type": "t", "source": "mailto:a@example.com", "datacontenttype": "application/json"}, {"a": [1]}),
]


@pytest.mark.parametrize("mode", ["structured", "binary", "batch"])
def test_events_of_the_cloudevents_sdk_come_out_of_kafka_as_they_went_in(
    api: ApiProcess, kafka_bootstrap: str, app_id: str, key: str, mode: str
) -> None:
    if mode == "batch":
        body = b"[" + b",".join(JSONFormat().write(event) for event in CLOUD_EVENTS) + b"]"
        messages = [HTTPMessage({"content-type": "application/cloudevents-batch+json"}, body)]
    else:
        encoder = http.to_structured_event if mode == "structured" else http.to_binary_event
        messages = [encoder(event) for event in CLOUD_EVENTS]
    for message in messages:
        headers = {**message.headers, "Authorization": f"Bearer {key}"}
        answer = api.client.post("/v1/cloudevents", content=message.body, headers=headers)
        assert answer.status_code == 202, answer.text
        assert answer.json().get("errors", []) == []

    records = landed(kafka_bootstrap, LIVE_TOPIC, app_id)
    found = {record.headers["ce_id"]: http.from_structured_event(HTTPMessage({}, record.value)) for record in records}
    assert len(records) == len(CLOUD_EVENTS)
    for event in CLOUD_EVENTS:
        copy = found[f"{event.get_source()} {event.get_id()}"]
        assert copy.get_data() == event.get_data()
        # A header has no types: an integer comes as its text.
        attributes = {name: str(value) for name, value in copy.get_attributes().items()}
        assert attributes == {name: str(value) for name, value in event.get_attributes().items()}
    times = {record.headers["ce_id"]: datetime.fromisoformat(record.headers["ce_time"]) for record in records}
    assert times == {f"{event.get_source()} {event.get_id()}": event.get_time() for event in CLOUD_EVENTS}


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_an_event_of_ours_in_the_cloudevents_sdk_is_kept_as_by_its_own_address(
    api: ApiProcess, kafka_bootstrap: str, app_id: str, key: str, mode: str
) -> None:
    authorised = {"Authorization": f"Bearer {key}"}
    encoder = http.to_structured_event if mode == "structured" else http.to_binary_event
    attributes = {"type": "click", "source": "/shop", "dataschema": "tidemark:engagement/1"}
    attributes |= {"datacontenttype": "application/json"}
    good, bad = engagement(event_id="e-1", timestamp="2026-01-05T12:00:00Z"), engagement(platform="toaster")
    for data, status in ((good, 202), (bad, 422)):
        message = encoder(CloudEvent(attributes, data))
        headers = {**message.headers, **authorised}
        assert api.client.post("/v1/cloudevents", content=message.body, headers=headers).status_code == status
        own = api.client.post("/v1/events/engagement", content=json.dumps(data).encode(), headers=authorised)
        assert own.status_code == status
    for topic, event in ((LIVE_TOPIC, good), (DEAD_LETTER_TOPIC, bad)):
        carried, own_record = sorted(landed(kafka_bootstrap, topic, app_id), key=lambda it: it.headers["ce_receivedat"])
        assert json.loads(carried.value) == json.loads(own_record.value) == event
        said, own_said = ({**it.headers, "ce_receivedat": ""} for it in (carried, own_record))
        if topic == DEAD_LETTER_TOPIC:  # the envelope's sender is told which part of it is wrong
            own_said["ce_dlqmessage"] = f"data, by engagement/1: {own_said['ce_dlqmessage']}"
        assert said == own_said
        assert carried.key == own_record.key
