"""Fifty readers of the analytics API, a process of its own, while thirty real builds are published under them."""

import asyncio
import os
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from local_stack.ports import LOOPBACK, free_port
from local_stack.waiting import wait_until
from storage.control.keys import create_key
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import engagement_row
from tests.fixtures.lake_writer import EVENT_TYPES, PLATFORMS, Event
from tests.fixtures.lakehouse import open_lakehouse
from tests.integration.serving import oracle

pytestmark = pytest.mark.integration
READERS = 50
REBUILDS = 30
EVENTS_EACH = 40
FIRST = datetime(2026, 1, 5, tzinfo=UTC)
UNTIL = FIRST + timedelta(days=1)
FIELDS = {"event-distribution": "distribution", "platforms": "platforms", "top-users": "top_users"}


@contextmanager
def running_api(settings: StorageSettings, log: Path) -> Iterator[str]:
    """`python -m serving` on this lake; gives its address."""
    port = free_port()
    given = {f"TIDEMARK_STORAGE_{name.upper()}": str(value) for name, value in settings.model_dump().items() if value}
    environment = {**os.environ, **given, "TIDEMARK_SERVING_PORT": str(port), "TIDEMARK_SERVING_POLL_SECONDS": "0.1"}
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "serving"], env=environment, stdout=out, stderr=out)
        try:
            address = f"http://{LOOPBACK}:{port}"
            wait_until(lambda: _is_up(address), "the analytics API to answer", 60)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=30)


def _is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/ping", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


class Readers:
    """Concurrent readers in one thread; each goes round the endpoints until told to stop. Keeps every distinct answer."""

    def __init__(self, address: str, key: str) -> None:
        self._address = address
        self._headers = {"Authorization": f"Bearer {key}"}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._read_all()))
        self.count = 0
        self.bad: list[str] = []
        self.answers: dict[tuple[str, int], list[Any]] = defaultdict(list)
        self.histories: list[list[int]] = [[] for _ in range(READERS)]

    def __enter__(self) -> "Readers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=60)

    async def _read_all(self) -> None:
        limits = httpx.Limits(max_connections=READERS)
        async with httpx.AsyncClient(
            base_url=self._address, headers=self._headers, timeout=60, limits=limits
        ) as client:
            await asyncio.gather(*(self._read(client, history) for history in self.histories))

    async def _read(self, client: httpx.AsyncClient, history: list[int]) -> None:
        names = list(FIELDS)
        while not self._stop.is_set():
            name = names[len(history) % len(names)]
            more = {"limit": 100} if name == "top-users" else {}
            answer = await client.get(f"/api/v1/analytics/{name}", params={"until": UNTIL.isoformat(), **more})
            self.count += 1
            if answer.status_code != 200:
                self.bad.append(f"{name}: {answer.status_code} {answer.text[:300]}")
                history.append(history[-1] if history else 0)
                continue
            body = answer.json()
            history.append(body["publication"])
            seen = self.answers[name, body["publication"]]
            if body[FIELDS[name]] not in seen:
                seen.append(body[FIELDS[name]])


def expected(events: list[Event]) -> dict[str, Any]:
    """What every endpoint must answer when exactly these events are published."""
    return {
        "event-distribution": oracle.distribution(events, "public", UNTIL),
        "platforms": oracle.platforms(events, "public", UNTIL),
        "top-users": oracle.top_users(events, "public", UNTIL, limit=100),
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.feature("K6")
def test_fifty_readers_see_no_error_and_no_torn_answer_during_thirty_rebuilds(
    storage_settings: StorageSettings, tmp_path: Path
) -> None:
    """Every second rebuild finds new events and is published; the others find nothing new and must publish nothing."""
    rng = Random(11)
    lakehouse = open_lakehouse(storage_settings, checks=False)
    key = create_key(lakehouse.engine, "public", "read")
    hours = [FIRST + timedelta(hours=hour) for hour in range(8, 12)]
    events: list[Event] = []
    wanted: dict[int, dict[str, Any]] = {}

    def land() -> None:
        rows = []
        for _ in range(EVENTS_EACH):
            moment = rng.choice(hours) + timedelta(seconds=rng.randrange(3600))
            event = Event(moment, f"user_{rng.randrange(12)}", rng.choice(EVENT_TYPES), rng.choice(PLATFORMS))
            body = {"user_id": event.user_id, "platform": event.platform}
            rows.append(engagement_row(len(events), moment, event_type=event.event_type, body=body))
            events.append(event)
        lakehouse.land(rows)

    def rebuild(number: int) -> int | None:
        published = lakehouse.publish(hours, run_id=f"rebuild-{number}").publication
        return published.publication_id if published else None

    land()
    assert rebuild(0) == 1
    wanted[1] = expected(events)
    with running_api(lakehouse.settings, tmp_path / "api.log") as address, Readers(address, key) as readers:
        wait_until(lambda: len(readers.answers) == len(FIELDS), "the first answers", 60)
        for number in range(1, REBUILDS + 1):
            if number % 2:
                land()
            published = rebuild(number)
            assert (published is not None) == bool(number % 2)
            if published is not None:
                wanted[published] = expected(events)
        last = max(wanted)
        wait_until(lambda: all(history[-1] == last for history in readers.histories), "all on the last publication", 60)
    assert readers.bad == []
    for (name, publication), answers in readers.answers.items():
        assert len(answers) == 1, f"{name} at publication {publication} has {len(answers)} different answers"
        rows = answers[0]
        found = [(r["event_type"], r["total_count"]) for r in rows] if name == "event-distribution" else rows
        assert found == wanted[publication][name], f"torn answer of {name} at publication {publication}"
    for history in readers.histories:
        assert history == sorted(history), "a reader was sent back"
    seen = {publication for _, publication in readers.answers}
    assert len(seen) >= REBUILDS // 4, f"readers saw publications {sorted(seen)} only"
    print(f"{readers.count} answers of {READERS} readers over {len(seen)} publications, none wrong")
    lakehouse.engine.dispose()
