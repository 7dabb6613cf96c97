"""The short way for single engagements: it says and keeps what the general way does, and leaves to it what is out of the ordinary."""

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from ingestion.api.direct import DirectRoutes
from ingestion.api.single_lane import SingleLane
from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import WRITE_KEY, EdgeClient, encode, engagement

ADDRESSES = ["/api/v1/events", "/v1/events/engagement"]
# Asks for the contract that the event has anyway: everything is the same, but the general way answers.
GENERAL = {"X-Tidemark-Contract": "engagement/1"}
KEY = {"Authorization": f"Bearer {WRITE_KEY}"}


@pytest.fixture
def edge() -> Iterator[tuple[EdgeClient, InMemorySink]]:
    sink = InMemorySink()
    with EdgeClient(sink) as client:
        yield client, sink


def lane_of(client: EdgeClient, address: str) -> SingleLane:
    routes = client.app.middleware_stack
    assert isinstance(routes, DirectRoutes)
    lane = routes._table[address]
    assert isinstance(lane, SingleLane)
    return lane


async def refuse(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError("the general way was asked")


def post(
    client: EdgeClient,
    body: bytes | list[bytes],
    headers: Mapping[str, str] = MappingProxyType({}),
    address: str = ADDRESSES[0],
) -> tuple[int, Any, dict[str, str]]:
    """(status, body, head) of a POST whose body comes in one piece, as the server hands a small one on, or in those given."""
    pieces = body if isinstance(body, list) else [body]
    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": address,
        "raw_path": address.encode(), "query_string": b"", "root_path": "", "scheme": "http", "headers": fields,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    left = len(pieces)
    said: list[Message] = []

    async def receive() -> Message:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": pieces[len(pieces) - left - 1], "more_body": left > 0}

    async def send(message: Message) -> None:
        said.append(message)

    client._runner.run(client.app(scope, receive, send))
    head = {name.decode(): value.decode() for name, value in said[0]["headers"]}
    content = b"".join(message.get("body", b"") for message in said[1:])
    assert head["content-length"] == str(len(content))
    kept = {name: head[name] for name in ("content-type", "x-tidemark-app") if name in head}
    return said[0]["status"], json.loads(content), kept


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("headers", [{}, KEY])
def test_the_short_way_says_and_keeps_what_the_general_way_does(
    edge: tuple[EdgeClient, InMemorySink], address: str, headers: dict[str, str]
) -> None:
    client, sink = edge
    body = encode(engagement(timestamp="2026-11-21T09:29:00.000000Z", content_id="c: 1", metadata={"a": "b"}))
    general = post(client, body, headers | GENERAL, address)
    lane = lane_of(client, address)
    lane._general = refuse
    assert post(client, body, headers, address) == general
    first, second = sink.records
    assert first == second
    assert client.get("/metrics").text.count("tidemark_ingestion_events_accepted_total 2.0") == 1


def test_an_event_without_an_id_gets_one(edge: tuple[EdgeClient, InMemorySink]) -> None:
    client, sink = edge
    lane_of(client, ADDRESSES[0])._general = refuse
    _, said, _ = post(client, encode(engagement(event_id=...)), KEY)
    assert dict(sink.records[0].headers)["ce_id"] == said["event_id"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 422),
        (b"{", {}, 422),
        (encode(engagement(platform="fridge")), {}, 422),
        (encode(engagement(user_id=" user ")), {}, 201),
        (encode(engagement()), {"Idempotency-Key": "k"}, 201),
        (encode(engagement()), {"Content-Encoding": "gzip"}, 415),
        (encode(engagement()), {"Authorization": "Bearer wrong"}, 401),
    ],
)
def test_what_is_out_of_the_ordinary_is_answered_as_ever(
    edge: tuple[EdgeClient, InMemorySink], body: bytes, headers: dict[str, str], status: int
) -> None:
    client, sink = edge
    assert post(client, body, headers)[0] == status
    kept = [record.topic for record in sink.records]
    assert kept == {201: ["events.raw.v1"], 422: ["events.dlq.v1"]}.get(status, [])


def test_a_body_in_pieces_is_taken_whole(edge: tuple[EdgeClient, InMemorySink]) -> None:
    client, sink = edge
    body = encode(engagement())
    assert post(client, [body[:10], body[10:30], body[30:]])[0] == 201
    assert sink.records[0].value == body


def test_an_event_that_is_not_acknowledged_is_unavailable(edge: tuple[EdgeClient, InMemorySink]) -> None:
    client, sink = edge
    lane_of(client, ADDRESSES[0])._general = refuse
    sink.failing = {0}
    status, said, _ = post(client, encode(engagement()))
    assert (status, said["retryable"], sink.records) == (503, True, [])
    assert post(client, encode(engagement()))[0] == 201


def test_what_fails_unexpectedly_is_a_problem_that_says_nothing(edge: tuple[EdgeClient, InMemorySink]) -> None:
    client, _ = edge
    lane_of(client, ADDRESSES[0])._edge = None  # type: ignore[assignment]  # whatever fails in there
    status, said, _ = post(client, encode(engagement()))
    assert (status, said["code"]) == (500, "internal")
