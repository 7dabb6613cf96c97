"""A client that costs next to nothing: requests made before, sent over plain sockets, answers read only as far as they must be."""

import socket
import threading
from collections.abc import Iterator, Sequence


def post_request(
    port: int, path: str, body: bytes, content_type: str = "application/x-ndjson", more: str = ""
) -> bytes:
    """The bytes of a POST over a connection that is kept. `more`: header lines, each with its end."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """(status, body) of the next answer."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _more(connection)
    head = data[:end].lower()
    at = head.find(b"content-length:")
    size = int(head[at + 15 :].split(b"\r\n", 1)[0])
    body = data[end + 4 :]
    while len(body) < size:
        body += _more(connection)
    return int(data[9:12]), body


def send_all(port: int, requests: Sequence[bytes], connections: int) -> list[tuple[int, bytes]]:
    """The answers, in no order, once all requests were answered; each connection has one request under way."""
    answers: list[tuple[int, bytes]] = []
    faults: list[BaseException] = []
    waiting: Iterator[bytes] = iter(requests)
    lock = threading.Lock()

    def work() -> None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                while True:
                    with lock:
                        request = next(waiting, None)
                    if request is None:
                        return
                    connection.sendall(request)
                    answers.append(read_answer(connection))
        except BaseException as fault:  # noqa: BLE001 - handed to the caller below
            faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return answers


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the server closed the connection")
    return data
