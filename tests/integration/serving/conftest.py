"""Lakes and clients for the analytics API: a lake of random events shared by a module, and an empty one per test."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from threading import Thread
from uuid import uuid4

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from local_stack.ports import LOOPBACK, free_port
from local_stack.postgres import create_database
from local_stack.waiting import wait_until
from serving.app import create_app
from serving.authentication import TokenVerifier
from serving.settings import ServingSettings
from storage.control import migrate
from storage.lake import create_missing_tables
from storage.settings import StorageSettings
from tests.fixtures.lake_writer import LakeWriter, random_events
from tests.fixtures.servers import copy_database

NOW = datetime(2026, 1, 7, 12, 34, 56, 789012, tzinfo=UTC)
SEED = 20260107


@pytest.fixture(scope="session")
def lake_template(postgres_url: str, extensions_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> StorageSettings:
    """An empty lake whose database is copied for each test: making the tables anew takes seconds."""
    folder = tmp_path_factory.mktemp("lake_template")
    settings = StorageSettings(
        database_url=create_database(postgres_url, f"template_{uuid4().hex}"),
        bronze_uri=str(folder / "bronze"),
        lake_uri=str(folder / "lake"),
        builds_dir=folder / "builds",
        extensions_dir=extensions_dir,
    )
    migrate(settings)
    create_missing_tables(settings)
    return settings


def copy_lake(template: StorageSettings, folder: Path) -> StorageSettings:
    """An empty lake in a database of its own. Data files share a folder: their names never meet."""
    server_url, _, template_name = template.database_url.rpartition("/")
    url = copy_database(f"{server_url}/postgres", template_name, f"serving_{uuid4().hex}")
    return template.model_copy(update={"database_url": url, "builds_dir": folder / "builds"})


@contextmanager
def running_app(app: FastAPI) -> Iterator[str]:
    """Serves the app by uvicorn in a thread; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, host=LOOPBACK, port=free_port(), log_level="warning", access_log=False))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(
        lambda: server.started,
        "the analytics API to start",
        60,
        is_hopeless=lambda: None if thread.is_alive() else "it ended",
    )
    try:
        yield f"http://{LOOPBACK}:{server.config.port}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


class AppClient(httpx.Client):
    """An HTTP client that also shows what the app holds open."""

    def __init__(self, app: FastAPI, address: str) -> None:
        super().__init__(base_url=address, timeout=60)
        self._app = app

    @property
    def open_publications(self) -> tuple[int, ...]:
        """Publications that the app holds open."""
        ids: tuple[int, ...] = self._app.state.services.pool.attached_ids
        return ids


@contextmanager
def open_client(
    storage: StorageSettings,
    now: Callable[[], datetime] = lambda: NOW,
    tokens: TokenVerifier | None = None,
    **settings: object,
) -> Iterator[AppClient]:
    """A client of a running app, over HTTP; the app's clock stands still."""
    app = create_app(
        ServingSettings.model_validate({"poll_seconds": 0.05, **settings}), storage, now=now, tokens=tokens
    )
    with running_app(app) as address, AppClient(app, address) as client:
        yield client


@pytest.fixture
def lake(lake_template: StorageSettings, tmp_path: Path) -> LakeWriter:
    """An empty lake with its tables."""
    return LakeWriter(copy_lake(lake_template, tmp_path))


@pytest.fixture(scope="module")
def random_lake(lake_template: StorageSettings, tmp_path_factory: pytest.TempPathFactory) -> LakeWriter:
    """A lake of three publications over four days of random events."""
    writer = LakeWriter(copy_lake(lake_template, tmp_path_factory.mktemp("lake")))
    rng = Random(SEED)
    for part in range(3):
        start = NOW - timedelta(days=4) + timedelta(days=part)
        writer.publish(
            random_events(rng, 700, start, timedelta(days=2)), published_at=NOW - timedelta(minutes=3 - part)
        )
    return writer


@pytest.fixture(scope="module")
def random_client(random_lake: LakeWriter) -> Iterator[httpx.Client]:
    """A client of the random lake, as of `NOW`."""
    with open_client(random_lake.settings) as client:
        yield client
