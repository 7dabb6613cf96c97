"""Keys: who may write, as which app, and that a slow key store never stands in the way."""

import asyncio
import threading

import httpx
import pytest
from starlette.datastructures import Headers

from ingestion.api.app import SharedParts
from ingestion.api.auth import Authenticator, FoundKey, InMemoryKeyRing, MemoryKey
from ingestion.api.errors import RequestError
from ingestion.contracts.topics import LIVE_TOPIC
from ingestion.settings import IngestionSettings, is_loopback
from ingestion.sinks import InMemorySink
from storage.control.tokens import Token, make_tokens
from tests.fixtures.issuer import running_issuer
from tests.unit.ingestion.builders import READ_KEY, WRITE_KEY, EdgeClient, encode, engagement, product, running_edge

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

    def apps_with_keys(self) -> frozenset[str]:
        if self.is_broken:
            raise ConnectionError("key store is away")
        return self._ring.apps_with_keys()


def test_a_key_that_was_found_stays_valid_while_the_key_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.api.auth._TRUSTED_SECONDS", 0.0)
    ring, key = _FailingKeyRing(), {"X-API-Key": WRITE_KEY}
    with EdgeClient(InMemorySink(), ring) as client:
        assert client.post("/api/v1/events", json=engagement(), headers=key).status_code == 201
        ring.is_broken = True
        assert client.post("/api/v1/events", json=engagement(), headers=key).status_code == 201
        unknown = client.post("/api/v1/events", json=engagement(), headers={"X-API-Key": "never seen"})
        assert (unknown.status_code, unknown.json()["retryable"]) == (503, True)


@pytest.mark.feature("S1-4")
def test_without_a_key_no_event_may_name_an_app_that_has_keys(edge: Edge) -> None:
    client, sink = edge
    refused = client.post("/events", json=product(app_id="shop"))
    assert (refused.status_code, refused.json()["code"]) == (401, "key_required")
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert client.post("/events", json=product(app_id="bakery")).status_code == 200
    assert client.post("/events", json=product(app_id="shop"), headers={"X-API-Key": WRITE_KEY}).status_code == 200
    lines = encode(product(app_id="shop")) + b"\n" + encode(product(app_id="bakery"))
    batch = client.post("/v1/batch", content=lines)
    assert (batch.status_code, [error["code"] for error in batch.json()["errors"]]) == (202, ["key_required"])
    live = [record for record in sink.records if record.topic == LIVE_TOPIC]
    assert len(live) == 3


def test_apps_with_keys_that_cannot_be_read_stop_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.api.auth._TRUSTED_SECONDS", 0.0)
    ring = _FailingKeyRing()
    with EdgeClient(InMemorySink(), ring) as client:
        assert client.post("/events", json=product(app_id="shop")).status_code == 401
        ring.is_broken = True
        assert client.post("/events", json=product(app_id="shop")).status_code == 401
        assert client.post("/events", json=product(app_id="bakery")).status_code == 200


class _RevocableRing(InMemoryKeyRing):
    """A ring from which keys can be taken."""

    is_revoked = is_broken = False

    def find(self, plaintext: str) -> FoundKey | None:
        if self.is_broken:
            raise ConnectionError("key store is away")
        return None if self.is_revoked else super().find(plaintext)


def test_a_revoked_key_is_believed_for_two_seconds_at_most() -> None:
    now, ring = [100.0], _RevocableRing({WRITE_KEY: MemoryKey("shop")})
    authenticator = Authenticator(ring, allows_anonymous=False, clock=lambda: now[0])

    async def run() -> None:
        headers = Headers({"X-API-Key": WRITE_KEY})
        assert (await authenticator.identify(headers, "")).bucket_id == "shop/memory"
        ring.is_revoked = True
        now[0] += 0.99
        assert (await authenticator.identify(headers, "")).app_id == "shop"
        now[0] += 0.02
        for _ in range(2):
            with pytest.raises(RequestError, match="unknown or revoked"):
                await authenticator.identify(headers, "")
        ring.is_broken = True
        with pytest.raises(RequestError, match="does not answer"):
            await authenticator.identify(headers, "")

    asyncio.run(run())


class _SlowRing(InMemoryKeyRing):
    """Counts the lookups; they end when they are let."""

    def __init__(self, keys: dict[str, MemoryKey]) -> None:
        super().__init__(keys)
        self.lookups = 0
        self.may_end = threading.Event()

    def find(self, plaintext: str) -> FoundKey | None:
        self.lookups += 1
        assert self.may_end.wait(20)
        return super().find(plaintext)


def test_one_request_looks_a_known_key_up_again_while_the_others_go_on() -> None:
    now, ring = [100.0], _SlowRing({WRITE_KEY: MemoryKey("shop")})
    authenticator = Authenticator(ring, allows_anonymous=False, clock=lambda: now[0])
    headers = Headers({"X-API-Key": WRITE_KEY})

    async def run() -> None:
        ring.may_end.set()
        await authenticator.identify(headers, "")
        assert authenticator.recall(headers, "") is not None
        ring.may_end.clear()
        now[0] += 1.5
        asking = asyncio.ensure_future(authenticator.identify(headers, ""))
        await asyncio.sleep(0)
        for _ in range(5):
            assert (await authenticator.identify(headers, "")).app_id == "shop"
            assert authenticator.recall(headers, "") is not None
        assert not asking.done()
        ring.may_end.set()
        await asking
        assert ring.lookups == 2

    asyncio.run(run())


@pytest.mark.feature("S2-F6")
def test_bearer_tokens_write_with_the_scope_only() -> None:
    sink = InMemorySink()
    with (
        running_issuer() as issuer,
        EdgeClient(sink, shared=SharedParts(tokens=make_tokens(issuer.settings())), environment="production") as client,
    ):

        def post(token: str) -> httpx.Response:
            return client.post("/api/v1/events", json=engagement(), headers={"Authorization": f"Bearer {token}"})

        for scope in ("ingest", "admin", "read ingest"):
            assert post(issuer.token(scope=scope)).headers["X-Tidemark-App"] == "shop"
        wrong_scope, expired, forged = post(issuer.token(scope="read")), post(issuer.token(exp=1)), post("eyJ.eyJ.x")
        assert (wrong_scope.status_code, wrong_scope.json()["code"]) == (403, "wrong_scope")
        assert (expired.status_code, expired.json()["code"]) == (401, "credential_expired")
        assert (forged.status_code, forged.json()["code"]) == (401, "wrong_key")
        assert (post(issuer.token(app_id=...)).status_code, post(issuer.token(aud="x")).status_code) == (403, 401)
        assert len(sink.records) == 3
        assert issuer.requests == 1
    with running_edge() as (client, _):
        refused = client.post("/api/v1/events", json=engagement(), headers={"X-API-Key": issuer.token()})
        assert refused.status_code == 401


def test_a_token_is_believed_until_its_end_and_no_longer() -> None:
    now, verified = [100.0], []

    class Verifier:
        def verify(self, token: str) -> Token:
            verified.append(token)
            return Token("shop", "me", frozenset({"ingest"}), trusted_seconds=5.0)

    ring = InMemoryKeyRing({})
    authenticator = Authenticator(ring, allows_anonymous=False, tokens=Verifier(), clock=lambda: now[0])

    async def run() -> None:
        headers = Headers({"Authorization": "Bearer eyJ.eyJ.x"})
        for seconds in (0.0, 4.9, 0.2):
            now[0] += seconds
            assert (await authenticator.identify(headers, "")).bucket_id == "shop/token/me"

    asyncio.run(run())
    assert len(verified) == 2
