"""The short way for single engagements, on a real server: it says and keeps what the general way does, and leaves to it what is out of
the ordinary; connections behave as ever."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from ingestion.api.edge import Edge
from ingestion.api.intake import Intake
from ingestion.sinks import InMemorySink
from ingestion.sinks.sink import Batch, Outcome
from tests.unit.ingestion.builders import WRITE_KEY, EdgeClient, encode, engagement

ADDRESSES = ["/api/v1/events", "/v1/events/engagement"]
# Asks for the contract that the event has anyway: everything is the same, but the general way answers.
GENERAL = {"X-Tidemark-Contract": "engagement/1"}
KEY = {"Authorization": f"Bearer {WRITE_KEY}"}


@pytest.fixture(autouse=True)
def _callers_are_trusted_for_the_whole_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.api.auth._TRUSTED_SECONDS", 600.0)


class HeldSink(InMemorySink):
    """Acknowledges when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.is_holding = False
        self._held: list[asyncio.Future[Outcome]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self.published = threading.Semaphore(0)

    def publish(self, batch: Batch) -> "asyncio.Future[Outcome]":
        if not self.is_holding:
            return super().publish(batch)
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self.submit(batch)
        self._held.append(future)
        self.published.release()
        return future

    def let_go(self) -> None:
        assert self._loop is not None
        self.is_holding = False
        for future in self._held:
            self._loop.call_soon_threadsafe(future.set_result, Outcome())
        self._held.clear()


@contextmanager
def serving(sink: InMemorySink) -> Iterator[tuple[uvicorn.Server, int]]:
    """The edge behind its own protocol on a port of this machine."""
    app = EdgeClient(sink).app
    server = uvicorn.Server(
        uvicorn.Config(
            app, http=app.state.protocol, loop="uvloop", ws="none", log_config=None, access_log=False,
            server_header=False, timeout_graceful_shutdown=5,
        )
    )  # fmt: skip
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=20)) as client:
            assert client.post(ADDRESSES[0], content=encode(engagement()), headers=KEY).status_code == 201
            assert client.post(ADDRESSES[0], content=encode(engagement())).status_code == 201
        sink.records.clear()
        try:
            yield server, port
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def edge() -> Iterator[tuple[httpx.Client, HeldSink]]:
    sink = HeldSink()
    with serving(sink) as (_, port), httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        yield client, sink


@pytest.fixture
def no_general_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the general way was asked")

    monkeypatch.setattr(Edge, "respond", refuse)


def said(response: httpx.Response) -> tuple[int, Any, dict[str, str]]:
    """What an answer says, but for what differs by nature."""
    body = {name: value for name, value in response.json().items() if name != "timestamp"}
    return response.status_code, body, {name: value for name, value in response.headers.items() if name != "date"}


def request(body: bytes, path: str = ADDRESSES[0], more: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: edge\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def connect(client: httpx.Client) -> socket.socket:
    return socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=20)


def answers(connection: socket.socket, count: int) -> list[tuple[int, Any]]:
    """The next answers on a connection, in order."""
    found, data = [], b""
    while len(found) < count:
        head, end, rest = data.partition(b"\r\n\r\n")
        lengths = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if end and len(rest) >= lengths[0]:
            found.append((int(head[9:12]), json.loads(rest[: lengths[0]])))
            data = rest[lengths[0] :]
        else:
            more = connection.recv(65536)
            assert more, f"closed after {found} {data!r}"
            data += more
    assert not data
    return found


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("headers", [{}, KEY], ids=["public", "key"])
def test_the_short_way_says_and_keeps_what_the_general_way_does(
    edge: tuple[httpx.Client, HeldSink], address: str, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, sink = edge
    body = encode(engagement(timestamp="2026-11-21T09:29:00.000000Z", content_id="c: 1", metadata={"a": "b"}))
    general = client.post(address, content=body, headers=headers | GENERAL)
    monkeypatch.setattr(Edge, "respond", None)
    assert said(client.post(address, content=body, headers=headers)) == said(general)
    first, second = sink.records
    assert first == second
    metrics = client.get("/metrics").text
    assert "tidemark_ingestion_events_accepted_total 4.0" in metrics
    assert (
        f'tidemark_ingestion_request_duration_seconds_count{{route="{address}",status="{general.status_code}"}}'
        in metrics
    )


def test_an_event_without_an_id_gets_one(edge: tuple[httpx.Client, HeldSink], no_general_way: None) -> None:
    client, sink = edge
    answer = client.post(ADDRESSES[0], content=encode(engagement(event_id=...)), headers=KEY)
    assert dict(sink.records[0].headers)["ce_id"] == answer.json()["event_id"]


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
    edge: tuple[httpx.Client, HeldSink], body: bytes, headers: dict[str, str], status: int
) -> None:
    client, sink = edge
    assert client.post(ADDRESSES[0], content=body, headers=headers).status_code == status
    kept = [record.topic for record in sink.records]
    assert kept == {201: ["events.raw.v1"], 422: ["events.dlq.v1"]}.get(status, [])


def test_a_body_in_pieces_is_taken_whole(edge: tuple[httpx.Client, HeldSink]) -> None:
    client, sink = edge
    body = encode(engagement())
    whole = request(body)
    with connect(client) as connection:
        for piece in (whole[:30], whole[30 : -len(body)], whole[-len(body) : -10], whole[-10:]):
            connection.sendall(piece)
            threading.Event().wait(0.05)
        assert answers(connection, 1)[0][0] == 201
    assert [record.value for record in sink.records] == [body]


def test_a_chunked_body_is_taken_whole(edge: tuple[httpx.Client, HeldSink]) -> None:
    client, sink = edge
    body = encode(engagement())
    assert client.post(ADDRESSES[0], content=iter([body[:9], body[9:]])).status_code == 201
    assert [record.value for record in sink.records] == [body]


def test_an_event_that_is_not_acknowledged_is_unavailable(
    edge: tuple[httpx.Client, HeldSink], no_general_way: None
) -> None:
    client, sink = edge
    sink.failing = {0}
    answer = client.post(ADDRESSES[0], content=encode(engagement()))
    assert (answer.status_code, answer.json()["retryable"], sink.records) == (503, True, [])
    assert answer.headers["retry-after"]
    assert client.post(ADDRESSES[0], content=encode(engagement())).status_code == 201


def test_what_fails_after_it_may_have_been_sent_is_not_sent_again(
    edge: tuple[httpx.Client, HeldSink], no_general_way: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, sink = edge
    begin = Intake.begin_plain

    def fail(*arguments: Any) -> None:
        begin(*arguments)
        raise RuntimeError("planted")

    monkeypatch.setattr(Intake, "begin_plain", fail)
    answer = client.post(ADDRESSES[0], content=encode(engagement()))
    assert (answer.status_code, answer.json()["code"], len(sink.records)) == (500, "internal", 1)


def test_pipelined_requests_are_answered_in_their_order(edge: tuple[httpx.Client, HeldSink]) -> None:
    client, sink = edge
    events = [encode(engagement(event_id=name)) for name in ("first", "second", "third")]
    sink.is_holding = True
    with connect(client) as connection:
        health = b"GET /health HTTP/1.1\r\nHost: edge\r\n\r\n"
        connection.sendall(request(events[0]) + health + request(events[1]) + request(events[2]))
        assert sink.published.acquire(timeout=20)
        sink.let_go()
        found = answers(connection, 4)
    assert [status for status, _ in found] == [201, 200, 201, 201]
    assert [body.get("event_id") for _, body in found] == ["first", None, "second", "third"]


def test_the_connection_closes_when_the_client_asks_for_it(
    edge: tuple[httpx.Client, HeldSink], no_general_way: None
) -> None:
    client, _ = edge
    with connect(client) as connection:
        connection.sendall(request(encode(engagement()), more="Connection: close\r\n"))
        data = b""
        while more := connection.recv(65536):
            data += more
    assert data.startswith(b"HTTP/1.1 201 ")
    assert b"connection: close\r\n" in data


def test_a_client_that_left_harms_nobody(edge: tuple[httpx.Client, HeldSink]) -> None:
    client, sink = edge
    sink.is_holding = True
    with connect(client) as connection:
        connection.sendall(request(encode(engagement())))
        assert sink.published.acquire(timeout=20)
    threading.Event().wait(0.1)
    sink.let_go()
    assert client.post(ADDRESSES[0], content=encode(engagement())).status_code == 201
    assert len(sink.records) == 2


def test_a_server_that_stops_answers_what_it_took() -> None:
    sink = HeldSink()
    with serving(sink) as (server, port), socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        sink.is_holding = True
        connection.sendall(request(encode(engagement())))
        assert sink.published.acquire(timeout=20)
        server.should_exit = True
        threading.Event().wait(0.5)
        sink.let_go()
        assert answers(connection, 1)[0][0] == 201
        assert connection.recv(1) == b""
