"""A whole platform of its own for end-to-end tests: own home, own ports, driven through the command line and HTTP as a user does."""

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Producer

from ingestion.contracts.avro_wire import subject_of
from local_stack.environment import read_file
from local_stack.settings import Ports
from storage import publications
from storage.control import make_engine
from storage.control.keys import KeyKind, create_key
from storage.lake import open_lake
from storage.settings import TOPIC_VARIABLES, StorageSettings
from tests.unit.ingestion.builders import download
from tests.unit.ingestion.schema_registry.test_decoding import encoded

UP_TIMEOUT_SECONDS = 240
LOG_LINES_SHOWN = 25


class CommandError(AssertionError):
    """A `tidemark` command ended otherwise than expected; carries what it said."""


@dataclass
class Stack:
    """A running stack."""

    home: Path
    port_offset: int
    endpoints: dict[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings that differ from the defaults."""

    @property
    def environment(self) -> dict[str, str]:
        """The caller's environment without any setting of ours, and this stack's home and ports."""
        own = {
            name: value for name, value in os.environ.items() if not name.startswith(("TIDEMARK_", "DAGSTER_", "DBT_"))
        }
        return own | {"TIDEMARK_HOME": str(self.home), "TIDEMARK_PORT_OFFSET": str(self.port_offset), **self.settings}

    def command(self, *arguments: str) -> list[str]:
        """A `tidemark` command line."""
        return [sys.executable, "-m", "cli.main", *arguments]

    def run(self, *arguments: str, timeout: float = 120, expected_exit: int = 0) -> Any:
        """Runs `tidemark … --json` and gives its data."""
        line = self.command(*arguments, "--json")
        try:
            done = subprocess.run(
                line, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CommandError(f"tidemark {' '.join(arguments)} did not end within {timeout:.0f} s") from error
        if done.returncode != expected_exit:
            said = f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            raise CommandError(
                f"tidemark {' '.join(arguments)} ended with {done.returncode}, not {expected_exit}\n{said}"
            )
        return json.loads(done.stdout) if done.stdout.strip() else None

    def up(self) -> None:
        """Starts the stack and waits until it is ready."""
        self.endpoints = self.run("up", "--detach", timeout=UP_TIMEOUT_SECONDS)

    def down(self) -> None:
        """Stops it, whatever state it is in."""
        subprocess.run(self.command("down"), env=self.environment, capture_output=True, timeout=60, check=False)

    def settle(self, timeout: float = 420) -> None:
        """Waits until everything accepted is published."""
        self.run("settle", "--timeout", str(timeout), timeout=timeout + 30)

    def verify(self) -> dict[str, Any]:
        """The checker's result; the test fails with its offences when it is not ok."""
        line = self.command("verify", "--json")
        done = subprocess.run(line, env=self.environment, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise CommandError(f"tidemark verify ended with {done.returncode}\n{done.stderr[-6000:]}")
        result: dict[str, Any] = json.loads(done.stdout)
        assert result["ok"], result
        return result

    def get(self, path: str, *, key: str | None = None, **parameters: Any) -> dict[str, Any]:
        """An answer of the analytics API, with the demo app's read key or another one."""
        wanted = {name: value for name, value in parameters.items() if value is not None}
        headers = {"Authorization": f"Bearer {key or self.endpoints['read_key']}"}
        answer = httpx.get(f"{self.endpoints['analytics']}{path}", params=wanted, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def post(self, path: str, content: bytes) -> httpx.Response:
        """Sends bytes to the ingestion API."""
        headers = {"Authorization": f"Bearer {self.endpoints['write_key']}", "Content-Type": "application/json"}
        return httpx.post(f"{self.endpoints['ingestion']}{path}", content=content, headers=headers, timeout=30)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Starts `tidemark …` and does not wait for it."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.command(*arguments), env=self.environment, stdout=pipe, stderr=pipe, text=True)

    def send_event(self, **body: Any) -> str:
        """Sends one engagement event and gives its id."""
        answer = self.post("/api/v1/events", json.dumps({"platform": "web", "event_type": "like", **body}).encode())
        assert answer.status_code == 201, answer.text
        return str(answer.json()["event_id"])

    def open_inlet(self) -> "DownloadInlet":
        """The topic of downloads, with the schema that the platform registers itself."""
        settings = self.storage_settings()
        topic = settings.topics.downloads
        path = f"/subjects/{subject_of(topic)}/versions/latest"
        headers = {"Authorization": f"Bearer {self.endpoints['write_key']}"}
        answer = httpx.get(f"{self.endpoints['ingestion']}{path}", headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        return DownloadInlet(settings.kafka_bootstrap_servers, topic, answer.json()["id"])

    def processes(self) -> dict[str, dict[str, Any]]:
        """The supervised services as `tidemark status` tells them, by name; tasks left out."""
        return {item["name"]: item for item in self.status()["processes"] if not item["is_task"]}

    def storage_settings(self) -> StorageSettings:
        """Where this stack's data rests."""
        found = read_file(self.home / "stack.env")
        names = {
            name.lower(): found.get(f"TIDEMARK_STORAGE_{name}") for name in ("DATABASE_URL", "BRONZE_URI", "LAKE_URI")
        }
        names |= {name.lower(): found.get(f"TIDEMARK_STORAGE_{name}") for name in ("BUILDS_DIR", "EXTENSIONS_DIR")}
        names["kafka_bootstrap_servers"] = found["TIDEMARK_KAFKA_BOOTSTRAP_SERVERS"]
        names |= {variable: found[variable] for variable in TOPIC_VARIABLES.values()}
        return StorageSettings.model_validate({name: value for name, value in names.items() if value})

    def make_key(self, app_id: str, kind: KeyKind) -> str:
        """A new key of an app."""
        engine = make_engine(self.storage_settings(), pool_size=1)
        try:
            return create_key(engine, app_id, kind)
        finally:
            engine.dispose()

    def published_rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query over the lake at the newest publication."""
        settings = self.storage_settings()
        engine = make_engine(settings, pool_size=1)
        try:
            publication = publications.latest(engine)
        finally:
            engine.dispose()
        assert publication is not None
        with open_lake(settings, snapshot_id=publication.snapshot_id) as lake:
            return lake.execute(query, list(values)).fetchall()

    def newest_code_version(self) -> str:
        """Of the newest publication; empty before the first."""
        engine = make_engine(self.storage_settings(), pool_size=1)
        try:
            publication = publications.latest(engine)
        finally:
            engine.dispose()
        return publication.code_version if publication else ""

    def publications_after(self, publication_id: int) -> list[dict[str, Any]]:
        """The publications newer than an id, newest first."""
        found: list[dict[str, Any]] = []
        before: int | None = None
        while True:
            page = self.get("/api/v1/publications", limit=100, before=before)["publications"]
            found += [entry for entry in page if entry["id"] > publication_id]
            if not page or page[-1]["id"] <= publication_id:
                return found
            before = page[-1]["id"]

    def status(self) -> dict[str, Any]:
        """`tidemark status`, whatever it says."""
        done = subprocess.run(
            self.command("status", "--json"),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def logs(self) -> str:
        """The end of every log."""
        texts = []
        for path in sorted((self.home / "logs").glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
            texts.append(f"--- {path.name}\n" + "\n".join(lines))
        return "\n".join(texts)


class DownloadInlet:
    """A client that writes downloads to Kafka itself, in Avro."""

    def __init__(self, bootstrap: str, topic: str, schema_id: int) -> None:
        self._topic = topic
        self._producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
        self._schema_id = schema_id

    def send(self, event_ids: Sequence[str], occurred_at: datetime) -> None:
        """Returns when the broker has one download under each id."""
        milliseconds = int(occurred_at.timestamp() * 1000)
        for event_id in event_ids:
            event = download(event_id=event_id, timestamp=milliseconds)
            self._producer.produce(self._topic, encoded(event, schema_id=self._schema_id), event_id)
        assert self._producer.flush(100) == 0


def free_port_offset(randomness: random.Random | None = None) -> int:
    """An offset at which every port of a stack is free now, below those that the system gives to clients (from 32768)."""
    source = randomness or random.Random()
    for _ in range(200):
        offset = source.randrange(10_000, 23_000, 50)
        if all(_is_free(port) for _, port in Ports(offset).items()):
            return offset
    raise CommandError("no port offset with free ports was found")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_until(claim: Callable[[], Any], timeout: float, what: str, interval: float = 0.5) -> Any:
    """The first true value of `claim`; errors while a service restarts count as not yet."""
    deadline = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < deadline:
        try:
            found = claim()
        except (httpx.HTTPError, AssertionError, KeyError, ValueError) as error:
            found, last = None, error
        if found:
            return found
        time.sleep(interval)
    raise CommandError(f"not within {timeout:.0f} s: {what} ({last})")


def parse_time(text: str) -> datetime:
    """An RFC 3339 time, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def totals(answer: Mapping[str, Any], *names: str) -> dict[tuple[str, ...], int]:
    """Sums of `event_count` of an events answer by the named fields."""
    sums: dict[tuple[str, ...], int] = {}
    for metric in answer["metrics"]:
        key = tuple(str(metric[name]) for name in names)
        sums[key] = sums.get(key, 0) + metric["event_count"]
    return sums
