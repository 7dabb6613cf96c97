"""What readers see while publications are made under load, and while PostgreSQL is killed and comes back."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import httpx
import pytest
import sqlalchemy as sa

from local_stack import child
from local_stack.ports import free_port
from local_stack.postgres import DEATH_SIGNAL, Postgres, create_database, is_ready
from local_stack.unprivileged import unprivileged_user
from local_stack.waiting import wait_until
from storage.control import migrate
from storage.control.tables import hours
from storage.lake import create_missing_tables
from storage.settings import StorageSettings
from tests.fixtures.lake_writer import Event, LakeWriter, random_events
from tests.integration.serving import oracle
from tests.integration.serving.conftest import NOW, open_client

pytestmark = pytest.mark.integration
READERS = 10
PUBLICATIONS = 5
ENDPOINTS = {"event-distribution": "distribution", "platforms": "platforms", "top-users": "top_users"}


@pytest.mark.feature("K6")
def test_readers_under_load_never_see_an_error_a_torn_answer_or_a_step_back(lake: LakeWriter) -> None:
    rng = Random(7)
    lake.publish(random_events(rng, 60, NOW - timedelta(days=1), timedelta(days=1)))
    sizes = {1: len(lake.events)}
    answers: list[list[tuple[str, dict[str, object]]]] = [[] for _ in range(READERS)]
    stop = threading.Event()

    def read(reader: int, address: httpx.URL) -> None:
        names = list(ENDPOINTS)
        with httpx.Client(base_url=address, timeout=60) as own:
            is_last = False
            while not is_last:
                is_last = stop.is_set()
                name = names[len(answers[reader]) % len(names)]
                response = own.get(f"/api/v1/analytics/{name}", params={"limit": 100} if name == "top-users" else {})
                answers[reader].append((name, {"status": response.status_code, **response.json()}))

    with open_client(lake.settings) as client:
        threads = [threading.Thread(target=read, args=(reader, client.base_url)) for reader in range(READERS)]
        for thread in threads:
            thread.start()
        for number in range(2, PUBLICATIONS + 1):
            lake.publish(random_events(rng, 60, NOW - timedelta(days=1), timedelta(days=1)))
            sizes[number] = len(lake.events)
        path = "/api/v1/analytics/platforms"
        wait_until(lambda: client.get(path).json()["publication"] == PUBLICATIONS, "the last publication", 30)
        stop.set()
        for thread in threads:
            thread.join(timeout=60)
    expected = {
        number: {
            "event-distribution": oracle.distribution(lake.events[:size], "public", NOW),
            "platforms": oracle.platforms(lake.events[:size], "public", NOW),
            "top-users": oracle.top_users(lake.events[:size], "public", NOW, limit=100),
        }
        for number, size in sizes.items()
    }
    seen: set[int] = set()
    for history in answers:
        newest = 0
        for name, answer in history:
            assert answer["status"] == 200
            number = answer["publication"]
            assert isinstance(number, int)
            assert number >= newest, "a reader was sent back"
            newest = number
            seen.add(number)
            rows = answer[ENDPOINTS[name]]
            assert isinstance(rows, list)
            found = [(r["event_type"], r["total_count"]) for r in rows] if name == "event-distribution" else rows
            assert found == expected[number][name], f"torn answer of {name} at publication {number}"
        assert newest == PUBLICATIONS
    assert len(seen) >= 3, f"readers saw publications {sorted(seen)} only"


class KillableServer:
    """A PostgreSQL of this test's own, which it may kill."""

    def __init__(self, folder: Path) -> None:
        self._server = Postgres(folder / "postgres", free_port())
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self._server.url()

    def start(self) -> None:
        self._server.initialise()
        argv = child.wrap(self._server.command(), DEATH_SIGNAL, unprivileged_user())
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        )
        wait_until(lambda: is_ready(self.url), "PostgreSQL to answer", 60)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait()

    def remove(self) -> None:
        self._server.remove_data()


@contextmanager
def killable_lake(folder: Path, extensions_dir: Path) -> Iterator[tuple[KillableServer, LakeWriter]]:
    """A lake on such a server."""
    server = KillableServer(folder)
    server.start()
    try:
        settings = StorageSettings(
            database_url=create_database(server.url, "tidemark"),
            bronze_uri=str(folder / "bronze"),
            lake_uri=str(folder / "lake"),
            builds_dir=folder / "builds",
            extensions_dir=extensions_dir,
        )
        migrate(settings)
        create_missing_tables(settings)
        yield server, LakeWriter(settings)
    finally:
        server.kill()
        server.remove()


def test_a_killed_database_is_503_at_once_and_heals_by_itself(tmp_path: Path, extensions_dir: Path) -> None:
    path = "/api/v1/analytics/platforms"
    with killable_lake(tmp_path, extensions_dir) as (server, lake):
        lake.publish([Event(NOW - timedelta(hours=1))])
        with open_client(lake.settings) as client:
            before = client.get(path)
            assert before.status_code == 200
            for how in (signal.SIGKILL, signal.SIGINT):
                server.kill(how)
                # A backend may live on for a moment behind its dead server and answer once more.
                wait_until(lambda: client.get(path).status_code == 503, "a refusal", 5)
                down = client.get(path)
                assert (down.status_code, down.json()["retryable"]) == (503, True)
                assert down.headers["retry-after"]
                assert "password" not in down.text
                assert "postgresql://" not in down.text
                health = client.get("/health")
                assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
                assert health.json()["checks"]["postgres"]["status"] == "unhealthy"
                assert client.get("/ping").status_code == 200
                server.start()
                wait_until(lambda: client.get("/health").status_code == 200, "health after the restart", 30)
                after = client.get(path)
                assert (after.status_code, after.json()) == (200, before.json())
            lake.publish([Event(NOW - timedelta(hours=2))])
            wait_until(lambda: client.get(path).json()["publication"] == 2, "the new publication", 10)


def test_an_app_that_starts_before_the_database_works_when_it_comes(tmp_path: Path, extensions_dir: Path) -> None:
    with killable_lake(tmp_path, extensions_dir) as (server, lake):
        lake.publish([Event(NOW - timedelta(hours=1))])
        server.kill()
        with open_client(lake.settings) as client:
            assert client.get("/api/v1/analytics/users").status_code == 503
            assert client.get("/health").status_code == 503
            server.start()
            wait_until(lambda: client.get("/api/v1/analytics/users").status_code == 200, "an answer", 30)


def test_a_removed_file_costs_the_answer_and_not_the_service(lake: LakeWriter) -> None:
    lake.publish([Event(NOW - timedelta(hours=1))])
    with open_client(lake.settings) as client:
        assert client.get("/health").status_code == 200
        files = list(Path(lake.settings.lake_uri, "gold", "fct_user_hours").rglob("*.parquet"))
        newest = max(files, key=lambda file: file.stat().st_mtime_ns)
        hidden = newest.with_suffix(".hidden")
        newest.rename(hidden)
        assert client.get("/api/v1/analytics/users").status_code == 503
        hidden.rename(newest)
        assert client.get("/api/v1/analytics/users").status_code == 200


@pytest.mark.feature("S2-2")
def test_health_says_when_and_why_publication_is_blocked(lake: LakeWriter) -> None:
    lake.publish([Event(NOW - timedelta(hours=1))], published_at=datetime.now(UTC) - timedelta(minutes=14))
    with lake.engine.begin() as connection:
        connection.execute(
            sa.insert(hours).values(
                hour=NOW.replace(minute=0, second=0, microsecond=0),
                touched_version=3,
                dirty_since_version=3,
                cause="arrival",
                blocked_by="check event_ids_are_unique",
                blocked_at=NOW,
            )
        )
    with open_client(lake.settings) as client:
        health = client.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert health.json()["checks"]["publication"]["detail"] == (
        "published 14 min ago; hour 2026-01-07 12:00 blocked by check event_ids_are_unique"
    )
