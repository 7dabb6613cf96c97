"""Keys: who may write, as which app, and that a slow key store never stands in the way."""

import pytest

from ingestion.api.auth import FoundKey, InMemoryKeyRing, MemoryKey
from ingestion.settings import IngestionSettings, is_loopback
from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import READ_KEY, WRITE_KEY, EdgeClient, engagement, running_edge

Edge = tuple[EdgeClient, InMemorySink]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Authorization": f"Bearer {WRITE_KEY}"}, 201),
        ({"authorization": f"bearer  {WRITE_KEY} "}, 201),
        ({"X-API-Key": WRITE_KEY}, 201),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Basic {WRITE_KEY}"}, 401),
        ({"Authorization": ""}, 401),
        ({"X-API-Key": ""}, 401),
        ({"X-API-Key": WRITE_KEY + "x"}, 401),
        ({"X-API-Key": "schlüssel".encode("latin-1")}, 401),
        ({"X-API-Key": READ_KEY}, 403),
    ],
    ids=repr,
)
def test_keys(edge: Edge, headers: dict[str, str], status: int) -> None:
    client, sink = edge
    answer = client.post("/api/v1/events", json=engagement(), headers=headers)
    assert answer.status_code == status
    assert len(sink.records) == (1 if status == 201 else 0)
    if status == 201:
        app_id = "shop" if headers else "public"
        assert ("ce_source", app_id.encode()) in sink.records[0].headers
        assert answer.headers["X-Tidemark-App"] == app_id
    else:
        assert WRITE_KEY not in answer.text


@pytest.mark.parametrize(
    "settings", [{"environment": "production"}, {"host": "0.0.0.0"}, {"host": "::"}, {"host": "tidemark.example"}]
)
def test_without_a_key_only_development_on_loopback_may_write(settings: dict[str, str]) -> None:
    with running_edge(**settings) as (client, sink):
        assert client.post("/api/v1/events", json=engagement()).status_code == 401
        assert client.post("/api/v1/events", json=engagement(), headers={"X-API-Key": WRITE_KEY}).status_code == 201
        assert len(sink.records) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_loopback_addresses(host: str) -> None:
    assert is_loopback(host)
    assert IngestionSettings(host=host).allows_anonymous


class _FailingKeyRing:
    """Works until `is_broken`."""

    def __init__(self) -> None:
        self.is_broken = False
        self._ring = InMemoryKeyRing({WRITE_KEY: MemoryKey("shop")})

    def find(self, plaintext: str) -> FoundKey | None:
        if self.is_broken:
            raise ConnectionError("key store is away")
        return self._ring.find(plaintext)


def test_a_key_that_was_found_stays_valid_while_the_key_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.api.auth._TRUSTED_SECONDS", 0.0)
    ring, key = _FailingKeyRing(), {"X-API-Key": WRITE_KEY}
    with EdgeClient(InMemorySink(), ring) as client:
        assert client.post("/api/v1/events", json=engagement(), headers=key).status_code == 201
        ring.is_broken = True
        assert client.post("/api/v1/events", json=engagement(), headers=key).status_code == 201
        unknown = client.post("/api/v1/events", json=engagement(), headers={"X-API-Key": "never seen"})
        assert (unknown.status_code, unknown.json()["retryable"]) == (503, True)
