"""Ten times what the API can take, for two minutes (SECONDS as argument), with the whole platform running.

First the capacity: single events in a closed loop over 64 connections. Then ten times as many requests are due each second; what the
connections cannot carry waits at the client, so that every connection always has a request under way. Figures, each against its limit:
answers other than 2xx, 429 and 503 (0); growth of the API's resident memory from ten seconds into the overload to its end (20 %);
seconds after the overload until a second of quiet requests is answered as fast as before, by their median against three times that
of before (10); acknowledged events that `tidemark verify` misses (0). The rate limit is off: with it nearly all of this would be 429.

One client process sends all of this, on the machine of the platform: an overload of connections and queues, not of network cards.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.events import engagement_lines
from benchmarks.figures import report
from benchmarks.http_load import Connections
from benchmarks.raw_http import post_request
from tests.e2e.stack import Stack, free_port_offset

CONNECTIONS, CAPACITY_CONNECTIONS = 512, 64
CAPACITY_SECONDS, QUIET_SECONDS, QUIET_RATE = 5, 3, 50
OVERLOAD = 10
MEMORY_FROM_SECONDS = 10
RECOVERY_LIMIT_SECONDS = 10
TEMPLATES = 2_000


class Requests:
    """Requests with single events of 400 bytes, each with an id of its own."""

    def __init__(self, port: int, key: str) -> None:
        lines = engagement_lines(TEMPLATES, datetime.now(UTC))
        ids = [json.loads(line)["event_id"].encode() for line in lines]
        head = f"Authorization: Bearer {key}\r\n"
        made = [post_request(port, "/api/v1/events", line, "application/json", head) for line in lines]
        self._parts = [request.split(event_id) for request, event_id in zip(made, ids, strict=True)]
        self._sent = 0

    def take(self, count: int) -> list[bytes]:
        """The next ones."""
        requests = []
        for _ in range(count):
            before, after = self._parts[self._sent % TEMPLATES]
            requests.append(b"%b%036d%b" % (before, self._sent, after))
            self._sent += 1
        return requests


def api_process(port: int) -> psutil.Process:
    """The process that listens on the port."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return psutil.Process(connection.pid)
    raise RuntimeError(f"nobody listens on port {port}")


def quiet_median(port: int, requests: Requests, seconds: float) -> float:
    """The median answer time at a rate that is no load."""
    opened = Connections(port, 4)
    try:
        return opened.run(requests.take(int(QUIET_RATE * seconds)), QUIET_RATE).quantile(0.5)
    finally:
        opened.close()


def measure(stack: Stack, seconds: int) -> int:
    """Runs all phases; exit 1 when a figure misses its limit."""
    port = int(stack.endpoints["ingestion"].rsplit(":", 1)[1])
    requests, process = Requests(port, stack.endpoints["write_key"]), api_process(port)
    quiet_median(port, requests, QUIET_SECONDS)
    before = quiet_median(port, requests, QUIET_SECONDS)
    statuses: Counter[int] = Counter()
    opened = Connections(port, CAPACITY_CONNECTIONS)
    load = opened.run_for(requests.take, CAPACITY_SECONDS)
    opened.close()
    statuses.update(load.statuses)
    capacity = load.per_second
    opened = Connections(port, CONNECTIONS)
    first = opened.run_for(requests.take, min(MEMORY_FROM_SECONDS, seconds / 2), capacity * OVERLOAD)
    memory_before = process.memory_info().rss
    rest = opened.run_for(requests.take, seconds - first.seconds, capacity * OVERLOAD)
    memory_after = process.memory_info().rss
    ended = time.monotonic()
    opened.close()
    statuses.update(first.statuses)
    statuses.update(rest.statuses)
    while quiet_median(port, requests, 1) > 3 * before and time.monotonic() - ended < 60:
        pass
    recovery = time.monotonic() - ended
    stack.settle(600)
    verdict = stack.verify()
    accepted = verdict["counts"]["silver"]
    acknowledged = statuses[201]
    other = sum(count for status, count in statuses.items() if status not in (201, 429, 503))
    details = {"requests_per_second_capacity": round(capacity), "statuses": dict(statuses), "seconds": seconds}
    results = [
        report("overload_other_answers", other, 1, 0, "lower", "answers", **details),
        report("overload_memory_growth", memory_after / memory_before - 1, 1, 0.2, "lower", "share of resident memory"),
        report(
            "overload_recovery",
            recovery,
            1,
            RECOVERY_LIMIT_SECONDS,
            "lower",
            "seconds",
            quiet_ms=round(before * 1e3, 2),
        ),
        report("overload_lost", max(acknowledged - accepted, 0), 1, 0, "lower", "events", verify_ok=verdict["ok"]),
    ]
    return 0 if all(results) and verdict["ok"] else 1


def main() -> int:
    """All figures."""
    seconds = int(sys.argv[1]) if len(sys.argv) == 2 else 120
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(
            Path(folder) / "home", free_port_offset(), settings={"TIDEMARK_INGESTION_RATE_LIMIT_REQUESTS": "0"}
        )
        try:
            stack.up()
            return measure(stack, seconds)
        finally:
            stack.down()


if __name__ == "__main__":
    sys.exit(main())
