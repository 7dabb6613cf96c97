"""A client that says what it likes: bytes on a socket, sent as they come, and whatever the server answers."""

import json
import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True)
class RawAnswer:
    """The first answer on a connection. `status` is None when the server closed without one."""

    status: int | None
    body: bytes
    seconds: float

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def head(path: str, *fields: str, method: str = "POST") -> bytes:
    """A request line and header fields."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: edge", *fields, "", ""]).encode()


def request(path: str, body: bytes, *fields: str) -> bytes:
    """A whole request."""
    return head(path, f"Content-Length: {len(body)}", *fields) + body


def chunked(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """Pieces as chunks, without the last one that ends a body."""
    for piece in pieces:
        yield b"%x\r\n%b\r\n" % (len(piece), piece)


def exchange(port: int, pieces: Iterable[bytes], *, pause_seconds: float = 0.0, is_stubborn: bool = False) -> RawAnswer:
    """Sends pieces until the server answers or closes (a stubborn client goes on until it closes), and reads the answer."""
    started = time.monotonic()
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as connection:
        try:
            for piece in pieces:
                if select.select([connection], [], [], pause_seconds)[0]:
                    part = connection.recv(65536)
                    received += part
                    if not part or not is_stubborn:
                        break
                connection.sendall(piece)
                assert time.monotonic() - started < TIMEOUT_SECONDS, "the server lets the client go on and on"
            received += _read_answer(connection, received)
        except (ConnectionError, BrokenPipeError):
            received += _read_rest(connection)
    return _parse(received, time.monotonic() - started)


def _read_answer(connection: socket.socket, received: bytes) -> bytes:
    """The rest of one answer, or what comes until the server closes."""
    rest = b""
    while not _is_whole(received + rest):
        part = connection.recv(65536)
        if not part:
            break
        rest += part
    return rest


def _read_rest(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def _is_whole(text: bytes) -> bool:
    headers, found, body = text.partition(b"\r\n\r\n")
    if not found:
        return False
    lengths = [line for line in headers.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(lengths) and len(body) >= int(lengths[0].partition(b":")[2])


def _parse(text: bytes, seconds: float) -> RawAnswer:
    headers, _, body = text.partition(b"\r\n\r\n")
    status = int(headers.split(b" ")[1]) if headers.startswith(b"HTTP/1.1 ") else None
    return RawAnswer(status, body, seconds)
