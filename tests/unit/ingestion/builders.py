"""Events with overrides, and the whole API in one process over sinks in memory."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx

from ingestion.api.app import SharedParts, create_app
from ingestion.api.auth import InMemoryKeyRing, KeyFinder, MemoryKey
from ingestion.api.experiments import InMemoryExperiments
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


def product(**overrides: Any) -> dict[str, Any]:
    """A valid product event; an override of `...` removes the field."""
    event = {"event_id": "p-1", "event_type": "page_view", "user_id": "user_1", "event_ts": 1795253400000, **overrides}
    return {name: value for name, value in event.items() if value is not ...}


def comment(**overrides: Any) -> dict[str, Any]:
    """A valid comment of the social family; an override of `...` removes the field."""
    event = {"event_id": "s-1", "event_type": "comment_created", "timestamp": "2026-11-21T09:30:00Z", "comment_id": "c1",
             "post_id": "p1", "author": " user_1 ", **overrides}  # fmt: skip
    return {name: value for name, value in event.items() if value is not ...}


def download(**overrides: Any) -> dict[str, Any]:
    """A valid download; an override of `...` removes the field."""
    content = {"content_id": "c1", "title": "A film", "type": "video", "category": "tech", "size_mb": 700.5, "price": 0}
    how = {"status": "success", "duration_seconds": 30.5, "speed_mbps": 23.0}
    context = {"region": "EU", "city": "Bern", "device": "phone", "os_version": "17", "connection_type": "wifi"}
    event = {"event_id": "d-1", "timestamp": 1795253400000, "user_id": "user_1", "content": content, "download": how,
             "user_context": context, **overrides}  # fmt: skip
    return {name: value for name, value in event.items() if value is not ...}


def encode(event: Any) -> bytes:
    """JSON as a client sends it."""
    return json.dumps(event).encode()


class EdgeClient:
    """Requests to an app in this process, with the parts that it was built from."""

    def __init__(
        self,
        sink: EventSink,
        keys: KeyFinder | None = None,
        shared: SharedParts = SharedParts(),
        **settings: Any,
    ) -> None:
        self.ledger = InMemoryLedger()
        self.experiments = InMemoryExperiments()
        self.settings = IngestionSettings.model_validate({"ledger_flush_seconds": 0.05, **settings})
        ring = keys or InMemoryKeyRing({WRITE_KEY: MemoryKey("shop"), READ_KEY: MemoryKey("shop", "read")})
        self.app = create_app(
            self.settings,
            sink,
            ring,
            self.ledger,
            experiments=self.experiments,
            clock=lambda: NOW,
            shared=shared,
        )
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

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", path, **arguments)


@contextmanager
def running_edge(**settings: Any) -> Iterator[tuple[EdgeClient, InMemorySink]]:
    """A client and the sink behind it."""
    sink = InMemorySink()
    with EdgeClient(sink, **settings) as client:
        yield client, sink
