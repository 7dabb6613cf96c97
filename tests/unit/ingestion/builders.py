"""Events with overrides, and the whole API in one process over sinks in memory."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx

from ingestion.api.app import create_app
from ingestion.api.auth import InMemoryKeyRing, KeyFinder, MemoryKey
from ingestion.api.ledger import InMemoryLedger
from ingestion.settings import IngestionSettings
from ingestion.sinks import EventSink, InMemorySink

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
WRITE_KEY, READ_KEY = "tmw_test", "tmr_test"


def engagement(**overrides: Any) -> dict[str, Any]:
    """A valid engagement; an override of `...` removes the field."""
    event = {"event_type": "view", "user_id": "user_1", "platform": "web", "event_id": "e-1", **overrides}
    return {name: value for name, value in event.items() if value is not ...}


def generic(**overrides: Any) -> dict[str, Any]:
    """A valid generic event; an override of `...` removes the field."""
    event = {"event_type": "order_placed", "user_id": "user_1", "payload": {"total": 3}, **overrides}
    return {name: value for name, value in event.items() if value is not ...}


def encode(event: Any) -> bytes:
    """JSON as a client sends it."""
    return json.dumps(event).encode()


class EdgeClient:
    """Requests to an app in this process, with the parts that it was built from."""

    def __init__(self, sink: EventSink, keys: KeyFinder | None = None, **settings: Any) -> None:
        self.ledger = InMemoryLedger()
        self.settings = IngestionSettings.model_validate({"ledger_flush_seconds": 0.05, **settings})
        ring = keys or InMemoryKeyRing({WRITE_KEY: MemoryKey("shop"), READ_KEY: MemoryKey("shop", "read")})
        self.app = create_app(self.settings, sink, ring, self.ledger, clock=lambda: NOW)
        self._runner = asyncio.Runner()

    def __enter__(self) -> "EdgeClient":
        self._lifespan = self.app.router.lifespan_context(self.app)
        self._runner.run(self._lifespan.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._lifespan.__aexit__(None, None, None))
        self._runner.close()

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """One request. An exception inside the app is raised here: the app must never let one out."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://edge") as client:
                return await client.request(method, path, **arguments)

        return self._runner.run(send())

    def post(self, path: str, **arguments: Any) -> httpx.Response:
        """POST."""
        return self.request("POST", path, **arguments)

    def get(self, path: str) -> httpx.Response:
        """GET."""
        return self.request("GET", path)


@contextmanager
def running_edge(**settings: Any) -> Iterator[tuple[EdgeClient, InMemorySink]]:
    """A client and the sink behind it."""
    sink = InMemorySink()
    with EdgeClient(sink, **settings) as client:
        yield client, sink
