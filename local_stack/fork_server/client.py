"""Talks to the fork server. As a program it stands in for dbt: `client.py SOCKET PROGRAM arguments…` behaves as the program would.

Run by file, with the standard library only, so that it starts in 20 ms. Messages are a length of four bytes and JSON; the first one of a
connection may carry file descriptors. After a start that stays attached, the server answers once more at the end, and every byte that
the client sends is the number of a signal; a client that goes away takes the program with it.
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

LENGTH_BYTES = 4
MAX_FDS = 3
SIGNAL_EXIT_BASE = 128
EXIT_UNREACHABLE = 69
CONNECT_SECONDS = 30.0
FORWARDED = (signal.SIGINT, signal.SIGTERM)


class ForkServerError(Exception):
    """The fork server did not answer as it should."""


def connect(path: str, timeout_seconds: float = CONNECT_SECONDS) -> socket.socket:
    """A connection, waiting for a server that is just being started again.

    By way of the folder's descriptor where the system has /proc: a socket's address is 107 bytes at most, a home may be deeper.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with_address(path, connection.connect)
            return connection
        except OSError as error:
            connection.close()
            if time.monotonic() >= deadline:
                raise ForkServerError(f"no fork server at {path}: {error}") from error
            time.sleep(0.1)


def with_address(path: str, use: Any) -> None:
    """Calls `use` (bind or connect) with an address of the socket that is short enough."""
    folder, name = os.path.split(path)
    if not os.path.isdir("/proc/self/fd"):  # noqa: PTH112 - keep imports few
        use(path)
        return
    descriptor = os.open(folder or ".", os.O_RDONLY)
    try:
        use(f"/proc/self/fd/{descriptor}/{name}")
    finally:
        os.close(descriptor)


def send(connection: socket.socket, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
    """One message."""
    body = json.dumps(message).encode()
    head = len(body).to_bytes(LENGTH_BYTES, "big")
    socket.send_fds(connection, [head], list(fds))
    connection.sendall(body)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """One message and its descriptors. Raises ForkServerError when the other side has gone."""
    head, fds, _, _ = socket.recv_fds(connection, LENGTH_BYTES, MAX_FDS)
    body = b""
    length = int.from_bytes(head, "big") if len(head) == LENGTH_BYTES else -1
    while len(body) < length:
        part = connection.recv(min(length - len(body), 1 << 20))
        if not part:
            break
        body += part
    if len(body) != length:
        for descriptor in fds:
            os.close(descriptor)
        raise ForkServerError("the other side went away in the middle of a message")
    message: dict[str, Any] = json.loads(body)
    return message, fds


def ask(path: str, message: Mapping[str, Any], timeout_seconds: float = CONNECT_SECONDS) -> dict[str, Any]:
    """The answer to one question. Raises ForkServerError also for a refusal."""
    with connect(path, timeout_seconds) as connection:
        connection.settimeout(timeout_seconds)
        try:
            send(connection, message)
            answer, _ = receive(connection)
        except OSError as error:
            raise ForkServerError(f"the fork server at {path} does not answer: {error}") from error
    if "error" in answer:
        raise ForkServerError(str(answer["error"]))
    return answer


def run_attached(path: str, program: str, arguments: Sequence[str]) -> int:
    """Runs the program with this process's directory, environment, standard streams and signals. Returns its exit code."""
    with connect(path) as connection:
        message = {
            "do": "start",
            "program": program,
            "arguments": list(arguments),
            "directory": os.getcwd(),  # noqa: PTH109 - keep imports few
            "environment": dict(os.environ),
            "attached": True,
        }

        def forward(number: int, _frame: FrameType | None) -> None:
            connection.sendall(bytes([number]))

        send(connection, message, (0, 1, 2))
        started, _ = receive(connection)
        if "error" in started:
            raise ForkServerError(str(started["error"]))
        for number in FORWARDED:
            signal.signal(number, forward)
        ended, _ = receive(connection)
    return int(ended["exit_code"])


def main() -> int:
    """The program's exit code; 69 with a line on stderr when there is no server."""
    path, program, *arguments = sys.argv[1:]
    try:
        return run_attached(path, program, arguments)
    except ForkServerError as error:
        sys.stderr.write(f"{error}. Is the stack up? See `tidemark status`.\n")
        return EXIT_UNREACHABLE


if __name__ == "__main__":
    sys.exit(main())
