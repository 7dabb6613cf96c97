"""The client in processes of its own: killed, ended without a word, forked."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from ingestion.sdk import EventClient
from platform_assets.settings import PROJECT_ROOT
from tests.unit.ingestion.sdk.edges import ScriptedEdge, lines_of, make_client, receipt

TRACK_FOR_EVER = """
import sys
from ingestion.sdk import EventClient
client = EventClient("shop", "http://127.0.0.1:9", spool_path=sys.argv[1])
while True:
    sys.stdout.write(client.track("u1", "page_view", properties={"text": "x" * 200}) + "\\n")
    sys.stdout.flush()
"""
TRACK_AND_LEAVE = """
import sys
from ingestion.sdk import EventClient, Tuning
client = EventClient("shop", sys.argv[1], tuning=Tuning(flush_interval_seconds=600))
client.track("u1", "page_view")
"""
FORK = """
import os, sys
from ingestion.sdk import EventClient, SpoolError, Tuning
slow = Tuning(flush_interval_seconds=600)
client = EventClient("shop", sys.argv[1], tuning=slow)
spooled = EventClient("shop", sys.argv[1], tuning=slow, spool_path=sys.argv[2])
client.track("parent", "page_view")
spooled.track("parent", "page_view")
client.flush(20)
client.track("parent", "page_view")
child = os.fork()
if child == 0:
    assert client.stats().pending == 0
    client.track("child", "page_view")
    client.flush(20)
    try:
        spooled.track("child", "page_view")
    except SpoolError:
        sys.exit(7)
    sys.exit(8)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
spooled.track("parent", "page_view")
"""


@contextmanager
def serving_edge() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """(address, events received) of a server that accepts everything."""
    received: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            lines = lines_of(httpx.Request("POST", "http://edge", content=body, headers=dict(self.headers)))
            received.extend(map(json.loads, lines))
            answer = receipt(len(lines)).content
            self.send_response(202)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        server.server_close()


def run(script: str, *arguments: str) -> None:
    argv = [sys.executable, "-W", "ignore", "-c", script, *arguments]
    answer = subprocess.run(argv, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert answer.returncode == 0, answer.stderr


def kill_while_tracking(spool: Path, count: int) -> list[str]:
    """Ids for which `track` had returned when the process was killed."""
    argv = [sys.executable, "-c", TRACK_FOR_EVER, str(spool)]
    process = subprocess.Popen(argv, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ids = [process.stdout.readline().strip() for _ in range(count)]
    os.kill(process.pid, signal.SIGKILL)
    ids += process.stdout.read().split("\n")[:-1]
    process.wait()
    return ids


@pytest.mark.feature("S1-1")
def test_events_of_a_client_that_was_killed_are_sent_by_the_next_one_with_the_same_ids(tmp_path: Path) -> None:
    tracked: list[str] = []
    for count in (1, 400):
        tracked += kill_while_tracking(tmp_path / "spool", count)
    assert len(set(tracked)) == len(tracked) > 400
    edge = ScriptedEdge()
    client = make_client(edge, spool_path=tmp_path / "spool")
    client.flush()
    stats = client.close()
    assert set(tracked) <= set(edge.ids)
    # Killed between the write and the return of `track`: at most one per process is there without having been promised.
    assert len(set(edge.ids) - set(tracked)) <= 2
    assert len(edge.ids) == len(set(edge.ids)) == stats.recovered == stats.accepted


@pytest.mark.feature("S1-1")
def test_a_program_that_ends_without_a_word_delivers_first() -> None:
    with serving_edge() as (address, received):
        run(TRACK_AND_LEAVE, address)
        assert len(received) == 1


def test_a_forked_child_sends_its_own_events_and_the_parent_its_own(tmp_path: Path) -> None:
    with serving_edge() as (address, received):
        run(FORK, address, str(tmp_path / "spool"))
    users = sorted(event["user_id"] for event in received)
    assert users == ["child", "parent", "parent", "parent", "parent"]
    assert len({event["event_id"] for event in received}) == 5


def test_a_client_works_against_a_server_over_a_real_connection() -> None:
    with serving_edge() as (address, received), EventClient("shop", address, mode="each") as client:
        event_id = client.track("u1", "page_view")
        assert [event["event_id"] for event in received] == [event_id]
