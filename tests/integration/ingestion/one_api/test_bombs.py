"""Hostile requests against the API as it runs: a 4xx with a reason or a closed connection, bounded memory, and the next one is served."""

import gzip
import itertools
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from uuid import uuid4

import pytest

from local_stack.postgres import create_database
from storage.control import migrate
from storage.settings import StorageSettings
from tests.integration.ingestion.processes import ApiProcess, running_api
from tests.integration.ingestion.raw_http import RawAnswer, chunked, exchange, head, request
from tests.unit.ingestion.builders import encode, engagement

pytestmark = pytest.mark.integration

MEBIBYTE = 1024 * 1024
GROWTH_MAX_BYTES = 100 * MEBIBYTE
HEAD_SECONDS, SILENCE_SECONDS, BODY_SECONDS = 1.5, 1.5, 3.0
SINGLE, BATCH, LINES = "/api/v1/events", "/api/v1/events/batch", "/v1/batch"
GZIP = "Content-Encoding: gzip"
PIECE = b"0" * (256 * 1024)


@pytest.fixture(scope="module")
def api(kafka_bootstrap: str, postgres_url: str) -> Iterator[ApiProcess]:
    """One process for all bombs, with short times, warmed up by batches of the largest size that is allowed."""
    settings = StorageSettings(database_url=create_database(postgres_url, f"bombs_{uuid4().hex}"))
    migrate(settings)
    with running_api(
        kafka_bootstrap,
        settings.database_url,
        TIDEMARK_INGESTION_HEAD_TIMEOUT_SECONDS=str(HEAD_SECONDS),
        TIDEMARK_INGESTION_BODY_SILENCE_SECONDS=str(SILENCE_SECONDS),
        TIDEMARK_INGESTION_BODY_TIMEOUT_SECONDS=str(BODY_SECONDS),
    ) as process:
        event = encode(engagement(note="x" * 300))
        assert process.client.post(LINES, content=b"\n".join([event] * 20_000)).status_code == 202
        yield process


@contextmanager
def bounded_memory(api: ApiProcess) -> Iterator[None]:
    """Fails when the process grows by 100 MB at any moment of the block, or does not serve the next good request."""
    before = peak = api.resident_bytes()
    is_over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not is_over.wait(0.01):
            peak = max(peak, api.resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()
    print(f"grew by {(peak - before) / MEBIBYTE:.1f} MiB")
    assert peak - before < GROWTH_MAX_BYTES, f"grew by {(peak - before) / MEBIBYTE:.0f} MiB"
    assert api.client.post(SINGLE, json=engagement()).status_code == 201


def port_of(api: ApiProcess) -> int:
    assert api.client.base_url.port is not None
    return api.client.base_url.port


def assert_refused(answer: RawAnswer) -> None:
    """Closed without a word, or a 4xx that says why."""
    if answer.status is not None:
        assert 400 <= answer.status < 500, answer
        assert answer.body, "a refusal without a reason"


def packed(text: bytes) -> bytes:
    return gzip.compress(text, 1)


@cache
def packed_zeros() -> bytes:
    """1 GiB of zeros in gzip: one packed MiB again and again."""
    packer = zlib.compressobj(9, wbits=31)
    first, again = (packer.compress(bytes(MEBIBYTE)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * 1023


def plain(path: str, body: bytes, *fields: str) -> Callable[[], Iterable[bytes]]:
    return lambda: [request(path, body, *fields)]


def batch_of(items: bytes) -> bytes:
    return b'{"events":[' + items + b"]}"


BODIES: dict[str, tuple[Callable[[], Iterable[bytes]], set[int | None]]] = {
    "1 GiB declared": (
        lambda: itertools.chain([head(LINES, f"Content-Length: {1024 * MEBIBYTE}")], itertools.repeat(PIECE, 4096)),
        {413},
    ),
    "1 GiB in chunks": (
        lambda: itertools.chain(
            [head(LINES, "Transfer-Encoding: chunked")], chunked(itertools.repeat(PIECE, 4096)), [b"0\r\n\r\n"]
        ),
        {413},
    ),
    "1 GiB of zeros in gzip": (lambda: [request(LINES, packed_zeros(), GZIP)], {413}),
    "gzip in gzip": (lambda: [request(LINES, packed(packed_zeros()), GZIP)], {422}),
    "gzip of a million members": (plain(LINES, packed(b"") * 700_000, GZIP), {400}),
    "a list of ten million objects": (
        lambda: [request(BATCH, packed(batch_of(b"{}," * 10_000_000 + b"{}")), GZIP)],
        {422},
    ),
    "ten million objects beside no events": (
        lambda: [request(BATCH, packed(b'{"x":[' + b"{}," * 10_000_000 + b"{}]}"), GZIP)],
        {422},
    ),
    "ten million objects beside events": (
        lambda: [request(BATCH, packed(b'{"events":[{}],"a:b":[' + b"{}," * 10_000_000 + b"{}]}"), GZIP)],
        {422},
    ),
    "ten million objects and no end": (
        lambda: [request(BATCH, packed(b'{"events":[' + b"{}," * 10_000_000), GZIP)],
        {422},
    ),
    "a hundred thousand events": (plain(BATCH, batch_of(b"{}," * 99_999 + b"{}")), {422}),
    "a hundred thousand lines": (plain(LINES, encode(engagement()) + b"\n" + b"{}\n" * 100_000), {422}),
    "thirty million blank lines": (lambda: [request(LINES, packed(b"\n" * 30_000_000), GZIP)], {422}),
    "ten million lines of two bytes": (lambda: [request(LINES, packed(b"{}\n" * 10_000_000), GZIP)], {422}),
    "as many bad lines as are allowed": (plain(LINES, b"{}\n" * 50_000), {422}),
}

TEXTS = {
    "depth 100,000 of lists": b"[" * 100_000 + b"]" * 100_000,
    "depth 100,000 of objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "depth 100,000 without end": b"[" * 100_000,
    "depth 100,000 inside an event": b'{"event_type":"view","user_id":"u","platform":"web","x":'
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}",
    "bad UTF-8": b'{"event_type":"view","user_id":"\xff\xfe","platform":"web"}',
    "overlong UTF-8": b'{"event_type":"view","user_id":"\xc0\xaf","platform":"web"}',
    "a lone surrogate": b'{"event_type":"view","user_id":"\\ud800","platform":"web"}',
    "a surrogate in UTF-8": b'{"event_type":"view","user_id":"\xed\xa0\x80","platform":"web"}',
    "NaN": b'{"event_type":"view","user_id":"u","platform":"web","x":NaN}',
    "Infinity": b'{"event_type":"view","user_id":"u","platform":"web","x":-Infinity}',
    "1e999": b'{"event_type":"view","user_id":"u","platform":"web","x":1e999}',
    "4,301 digits": b'{"event_type":"view","user_id":"u","platform":"web","x":' + b"9" * 4301 + b"}",
    "a million digits": b'{"x":' + b"9" * 1_000_000 + b"}",
    "a million digits behind the point": b'{"x":0.' + b"1" * 1_000_000 + b"}",
    "digits behind an escape": b'{"x\\u0041":' + b"9" * 4301 + b"}",
    "duplicate keys": b'{"event_type":"view","user_id":"u","user_id":"v","platform":"web"}',
    "duplicate keys, escaped": b'{"event_type":"view","user_id":"u","user\\u005fid":"v","platform":"web"}',
    "300,000 objects in a MiB": b'{"x":[' + b"{}," * 300_000 + b"{}]}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "nothing": b"",
    "one NUL": b"\0",
}

HEADS: dict[str, tuple[bytes, set[int | None]]] = {
    "a header of 8 MiB": (head(SINGLE, "X-Long: " + "x" * (8 * MEBIBYTE)), {431, None}),
    "a target of 8 MiB": (head("/" + "x" * (8 * MEBIBYTE)), {431, None}),
    "a hundred thousand headers": (head(SINGLE, *(f"X-{n}: 1" for n in range(100_000))), {431, None}),
    "101 headers": (head(SINGLE, *(f"X-{n}: 1" for n in range(101))), {431}),
    "a header without end": (head(SINGLE, "X-Long: " + "x" * 100_000)[:-4], {431}),
    "chunk size no number": (head(LINES, "Transfer-Encoding: chunked") + b"zz\r\nab\r\n", {400}),
    "chunk size negative": (head(LINES, "Transfer-Encoding: chunked") + b"-1\r\nab\r\n", {400}),
    "chunk size beyond 64 bits": (head(LINES, "Transfer-Encoding: chunked") + b"f" * 17 + b"\r\nab\r\n", {400}),
    "chunk longer than its size": (head(LINES, "Transfer-Encoding: chunked") + b"1\r\nabc\r\n0\r\n\r\n", {400}),
    "length and chunked": (
        head(LINES, "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n",
        {400},
    ),
    "chunked and length": (
        head(LINES, "Transfer-Encoding: chunked", "Content-Length: 4") + b"0\r\n\r\n",
        {400},
    ),
    "two lengths": (head(LINES, "Content-Length: 2", "Content-Length: 3") + b"{}}", {400}),
    "a length with a sign": (head(LINES, "Content-Length: +2") + b"{}", {400}),
    "a length of 30 digits": (head(LINES, "Content-Length: " + "9" * 30) + b"{}", {400}),
    "transfer encoding of another name": (head(LINES, "Transfer-Encoding: xchunked") + b"0\r\n\r\n", {400}),
    "transfer encoding twice": (
        head(LINES, "Transfer-Encoding: chunked", "Transfer-Encoding: identity") + b"0\r\n\r\n",
        {400},
    ),
    "a space before the colon": (head(LINES, "Content-Length : 2") + b"{}", {400}),
    "a folded header": (head(LINES, "X-A: b\r\n c") + b"{}", {400, 422}),
    "a NUL in a header": (head(LINES, "X-A: b\0c"), {400}),
    "a bare line feed": (b"POST /v1/batch HTTP/1.1\nHost: edge\nContent-Length: 2\n\n{}", {400}),
    "a NUL in the target": (head("/v1/\0batch"), {400}),
    "a NUL in the path, escaped": (head("/v1/%00batch", "Content-Length: 0"), {404}),
    "climbing": (head("/v1/../../etc/passwd", "Content-Length: 0"), {404}),
    "bad UTF-8 in the path": (head("/%ff%fe", "Content-Length: 0"), {404}),
    "an absolute target": (head("http://other/v1/batch", "Content-Length: 0"), {400, 404, 422}),
    "CONNECT": (b"CONNECT edge:80 HTTP/1.1\r\nHost: edge\r\n\r\n", {400, 405, None}),
    "HTTP/9.9": (b"GET / HTTP/9.9\r\nHost: edge\r\n\r\n", {400}),
    "TLS": (bytes.fromhex("16030100f1010000ed0303") + bytes(240), {400}),
    "noise": (bytes(range(256)) * 64, {400}),
    "a websocket": (
        head(LINES, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"),
        {400, 405, 422, None},
    ),
    "absurd content type": (request(LINES, b"{}", f"Content-Type: {'a/b;' * 10_000}"), {415, 422}),
    "content encodings in a chain": (request(LINES, b"{}", f"Content-Encoding: {'gzip, ' * 1000}gzip"), {415}),
    "an unknown content encoding": (request(LINES, b"{}", "Content-Encoding: \xe9\xff"), {415}),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_large_body_is_refused_in_bounded_memory(api: ApiProcess, name: str) -> None:
    pieces, statuses = BODIES[name]
    made = pieces()
    with bounded_memory(api):
        answer = exchange(port_of(api), made)
    assert answer.status in statuses, answer
    assert_refused(answer)


def test_no_text_is_a_server_error(api: ApiProcess) -> None:
    with bounded_memory(api):
        for name, text in TEXTS.items():
            for path, body in ((SINGLE, text), (BATCH, batch_of(text)), (LINES, text), ("/events", text)):
                answer = exchange(port_of(api), [request(path, body)])
                assert answer.status == 422, (name, path, answer)
                assert_refused(answer)


def test_no_head_is_a_server_error(api: ApiProcess) -> None:
    with bounded_memory(api):
        for name, (text, statuses) in HEADS.items():
            answer = exchange(port_of(api), [text])
            assert answer.status in statuses, (name, answer)
            assert_refused(answer)


SLOW: dict[str, tuple[Callable[[], Iterable[bytes]], float]] = {
    "a head byte by byte": (lambda: (bytes([byte]) for byte in head(LINES, "X-Slow: " + "a" * 1000)), HEAD_SECONDS),
    "a head that stops": (lambda: [head(LINES, "X-A: b")[:-2]], HEAD_SECONDS),
    "a body that stops": (lambda: [head(LINES, "Content-Length: 100"), b"{"], SILENCE_SECONDS),
    "a body byte by byte": (
        lambda: itertools.chain([head(LINES, "Content-Length: 1000")], itertools.repeat(b" ", 1000)),
        BODY_SECONDS,
    ),
    "chunks without end": (
        lambda: itertools.chain([head(LINES, "Transfer-Encoding: chunked")], chunked(itertools.repeat(b" "))),
        BODY_SECONDS,
    ),
}


def test_slow_clients_are_told_and_cut_off(api: ApiProcess) -> None:
    answers: dict[str, RawAnswer] = {}

    def send(name: str, pieces: Iterable[bytes]) -> None:
        answers[name] = exchange(port_of(api), pieces, pause_seconds=0.1)

    threads = [threading.Thread(target=send, args=(name, pieces())) for name, (pieces, _) in SLOW.items()]
    with bounded_memory(api):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name, (_, seconds) in SLOW.items():
        answer = answers[name]
        assert (answer.status, answer.document["code"]) == (408, "request_timeout"), (name, answer)
        assert seconds <= answer.seconds < seconds + 8, (name, answer)


def test_clients_that_never_stop_are_closed(api: ApiProcess) -> None:
    """Also those whose request was answered long ago: a path that is not there, a key that is wrong."""
    endless = itertools.repeat(PIECE)
    answers: list[RawAnswer] = []

    def send(path: str, field: str) -> None:
        pieces = itertools.chain([head(path, "Transfer-Encoding: chunked", field)], chunked(endless))
        answers.append(exchange(port_of(api), pieces, is_stubborn=True))

    clients = (("/nowhere", "X-A: b"), (LINES, "Authorization: Bearer wrong"))
    threads = [threading.Thread(target=send, args=client) for client in clients]
    with bounded_memory(api):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answers) == 2
    for answer in answers:
        assert answer.status in (401, 404, None)
        assert answer.seconds < BODY_SECONDS + 12


def test_requests_in_a_row_are_bounded_and_answered_in_order(api: ApiProcess) -> None:
    one = request(SINGLE, encode(engagement()))
    with bounded_memory(api):
        assert exchange(port_of(api), [one * 10]).status == 201
        assert exchange(port_of(api), [head("/", method="GET") * 20_000]).status in (200, 400, None)


def test_a_hundred_connections_that_say_nothing_do_not_keep_others_out(api: ApiProcess) -> None:
    threads = [threading.Thread(target=exchange, args=(port_of(api), [])) for _ in range(100)]
    with bounded_memory(api):
        for thread in threads:
            thread.start()
        for _ in range(20):
            assert api.client.post(SINGLE, json=engagement()).status_code == 201
        for thread in threads:
            thread.join()
    assert api.process.poll() is None
