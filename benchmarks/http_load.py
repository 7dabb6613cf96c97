"""Load on one HTTP address from one thread: closed loop (how many a second) and open loop (how long each took from when it was due).

In the open loop a request is due at its time whether or not earlier ones were answered, and its latency counts from then: a server
that stalls is charged for everything that should have been sent meanwhile (no coordinated omission).
"""

import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_CHUNK = 256
_HEAD_END = b"\r\n\r\n"


@dataclass
class Load:
    """What was measured: `latencies_seconds` in order of completion, `statuses` with their counts."""

    seconds: float
    latencies_seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def quantile(self, share: float) -> float:
        """A quantile of the latencies."""
        ordered = sorted(self.latencies_seconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return sum(self.statuses.values()) / self.seconds


class Connections:
    """Kept connections to one port, each with at most one request under way."""

    def __init__(self, port: int, count: int) -> None:
        self._poll = select.epoll()
        self._free: deque[socket.socket] = deque()
        self._of: dict[int, socket.socket] = {}
        self._partial: dict[int, bytes] = {}
        self._due: dict[int, float] = {}
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._of[connection.fileno()] = connection
            self._poll.register(connection.fileno(), select.EPOLLIN)
            self._free.append(connection)

    def close(self) -> None:
        """Closes all."""
        for connection in self._of.values():
            connection.close()
        self._poll.close()

    def run(self, requests: Sequence[bytes], rate: float | None = None) -> Load:
        """Sends every request: as fast as they are answered, or each when it is due at `rate` a second."""
        clock = time.perf_counter
        started = clock()
        load, sent, total = Load(0.0), 0, len(requests)
        while sum(load.statuses.values()) < total:
            now = clock()
            while sent < total and self._free and (rate is None or started + sent / rate <= now):
                connection = self._free.popleft()
                self._due[connection.fileno()] = now if rate is None else started + sent / rate
                connection.sendall(requests[sent])
                sent += 1
            wait = 1.0
            if rate is not None and sent < total and self._free:
                wait = max(started + sent / rate - clock(), 0.0)
            self._receive(wait, load)
        load.seconds = clock() - started
        return load

    def run_for(self, take: Callable[[int], Sequence[bytes]], seconds: float, rate: float | None = None) -> Load:
        """Sends what `take(count)` gives for that long, as fast as it is answered or as it is due; waits for what is under way."""
        clock = time.perf_counter
        started = clock()
        load, sent, waiting = Load(0.0), 0, deque[bytes]()
        while (now := clock()) - started < seconds:
            while self._free and (rate is None or started + sent / rate <= now):
                if not waiting:
                    waiting.extend(take(_CHUNK))
                connection = self._free.popleft()
                self._due[connection.fileno()] = now if rate is None else started + sent / rate
                connection.sendall(waiting.popleft())
                sent += 1
            self._receive(0.01, load)
        while len(self._free) < len(self._of):
            self._receive(1.0, load)
        load.seconds = clock() - started
        return load

    def _receive(self, wait_seconds: float, load: Load) -> None:
        for number, _ in self._poll.poll(wait_seconds):
            connection = self._of[number]
            data = self._partial.pop(number, b"") + connection.recv(65536)
            status = answer_status(data)
            if status is None:
                if not data:
                    raise ConnectionError("the server closed a connection")
                self._partial[number] = data
                continue
            load.latencies_seconds.append(time.perf_counter() - self._due.pop(number))
            load.statuses[status] = load.statuses.get(status, 0) + 1
            self._free.append(connection)


def answer_status(data: bytes) -> int | None:
    """The status of a whole answer; None while some of it is missing."""
    end = data.find(_HEAD_END)
    if end < 0:
        return None
    at = data.find(b"content-length: ", 0, end)
    size = int(data[at + 16 : data.index(b"\r\n", at)])
    return int(data[9:12]) if len(data) >= end + 4 + size else None
