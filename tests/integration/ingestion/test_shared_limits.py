"""The rate limit and the quota over several replicas and one PostgreSQL: what they let in together."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic, sleep
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from ingestion.api.postgres import PostgresBuckets
from ingestion.api.rate_limit import RateLimitedError, RateLimiter, RatePolicy
from local_stack.postgres import create_database
from storage.control import acknowledged, idempotency, make_engine, migrate, rate_buckets
from storage.control.keys import create_key
from storage.settings import StorageSettings
from tests.integration.ingestion.processes import running_api
from tests.unit.ingestion.builders import NOW, encode, engagement, generic

pytestmark = pytest.mark.integration
LIMIT, QUOTA = 120, 500


def test_leases_of_many_at_once_never_exceed_the_bucket_and_its_refill(engine: Engine) -> None:
    started = monotonic()

    def lease_often(number: int) -> dict[str, int]:
        granted = {"a": 0, "b": 0, "c": 0}
        for turn in range(40):
            # Several buckets in differing orders: no deadlock.
            wants = dict(sorted({"a": 7, "b": 3, "c": 1}.items(), reverse=(turn + number) % 2 == 0))
            for bucket_id, lease in rate_buckets.lease(engine, wants, 500, 50.0).items():
                assert 0 <= lease.granted <= wants[bucket_id]
                granted[bucket_id] += lease.granted
        return granted

    with ThreadPoolExecutor(4) as pool:
        totals = list(pool.map(lease_often, range(4)))
    most = 500 + 50.0 * (monotonic() - started) + 1
    assert 500 <= sum(total["a"] for total in totals) <= most
    assert sum(total["c"] for total in totals) == 160


def test_a_bucket_fills_by_the_time_that_passed_and_full_ones_are_deleted(engine: Engine) -> None:
    assert rate_buckets.lease(engine, {"a": 500}, 100, 1000.0)["a"].granted == 100
    threading.Event().wait(0.05)
    refilled = rate_buckets.lease(engine, {"a": 500}, 100, 1000.0)["a"]
    assert 50 <= refilled.granted <= 100
    assert rate_buckets.lease(engine, {"a": 5}, 100, 0.001)["a"].granted < 5
    assert rate_buckets.prune(engine, 60.0) == 0
    assert rate_buckets.prune(engine, 0.0) == 1


def test_two_replicas_let_in_the_limit_together_and_little_less(engine: Engine) -> None:
    """Each asks 20,000 times: the limit is 2,000 per minute, so 2,000 at once and 33 per second."""
    policy = RatePolicy(2000)
    admitted, elapsed = [0, 0], [0.0, 0.0]
    barrier = threading.Barrier(2)

    async def replica(number: int) -> None:
        limiter = RateLimiter(policy, PostgresBuckets(engine, policy))
        limiter.start()
        barrier.wait()
        started = monotonic()
        while monotonic() - started < 2.0:
            try:
                await limiter.admit("shop/write_1")
                admitted[number] += 1
            except RateLimitedError:
                await asyncio.sleep(0.001)
        elapsed[number] = monotonic() - started
        assert limiter.is_shared
        limiter.stop()

    threads = [threading.Thread(target=lambda number=number: asyncio.run(replica(number))) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    most = policy.limit + policy.per_second * max(elapsed) + 1
    assert sum(admitted) <= most
    assert sum(admitted) >= most - 2 * policy.chunk - 0.2 * policy.per_second
    assert min(admitted) > 0


@dataclass
class Replicas:
    """Two API processes over one database."""

    one: httpx.Client
    two: httpx.Client
    engine: Engine

    def new_key(self, app_id: str) -> str:
        """A write key that both replicas know: one that they do not know they look for ten times a second at most."""
        key = create_key(self.engine, app_id, "write")
        sleep(0.2)
        return key


@pytest.fixture(scope="module")
def replicas(kafka_bootstrap: str, postgres_url: str) -> Iterator[Replicas]:
    """With small limits."""
    settings = StorageSettings(database_url=create_database(postgres_url, f"replicas_{uuid4().hex}"))
    migrate(settings)
    engine, limits = (
        make_engine(settings),
        {
            "TIDEMARK_INGESTION_RATE_LIMIT_REQUESTS": str(LIMIT),
            "TIDEMARK_INGESTION_DAILY_QUOTA_EVENTS": str(QUOTA),
        },
    )
    url = settings.database_url
    with running_api(kafka_bootstrap, url, **limits) as one, running_api(kafka_bootstrap, url, **limits) as two:
        yield Replicas(one.client, two.client, engine)
    engine.dispose()


@pytest.mark.feature("S0-19")
def test_two_processes_share_a_keys_limit_and_another_key_goes_on(replicas: Replicas) -> None:
    app_id = f"app_{uuid4().hex[:8]}"
    keys = [{"X-API-Key": replicas.new_key(app_id)} for _ in range(2)]
    body, statuses = encode(engagement()), list[int]()

    def send(client: httpx.Client) -> None:
        for _ in range(120):
            statuses.append(client.post("/api/v1/events", content=body, headers=keys[0]).status_code)

    started = monotonic()
    threads = [threading.Thread(target=send, args=(client,)) for client in (replicas.one, replicas.two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    most = LIMIT + LIMIT / 60 * (monotonic() - started) + 1
    refused = replicas.one.post("/api/v1/events", content=body, headers=keys[0])
    other = replicas.two.post("/api/v1/events", content=body, headers=keys[1])
    assert set(statuses) == {201, 429}
    assert LIMIT - 2 <= statuses.count(201) <= most
    assert (refused.status_code, refused.headers["RateLimit-Policy"]) == (429, f'"requests";q={LIMIT};w=60')
    assert int(refused.headers["Retry-After"]) >= 1
    assert other.status_code == 201


def test_an_idempotency_key_used_on_one_replica_is_known_on_the_other(replicas: Replicas) -> None:
    key = replicas.new_key(f"app_{uuid4().hex[:8]}")
    headers = {"X-API-Key": key, "Idempotency-Key": uuid4().hex}
    first = replicas.one.post("/events", json=generic(event_id="first"), headers=headers)
    another = replicas.two.post("/events", json=generic(event_id="another"), headers=headers)
    without_id = replicas.two.post("/events", json=generic(), headers=headers)
    assert (first.status_code, another.status_code) == (202, 409)
    assert another.json()["type"] == "urn:tidemark:problem:idempotency-conflict"
    assert without_id.json()["event_id"] == "first"


def test_used_keys_stand_for_a_day_and_are_deleted_after_it(engine: Engine) -> None:
    for _ in range(2):
        idempotency.remember(engine, "shop", "k", "first")
    idempotency.remember(engine, "shop", "k", "second")
    assert idempotency.find(engine, "shop", "k") == "first"
    assert idempotency.find(engine, "other", "k") is None
    assert idempotency.prune(engine) == 0
    with engine.begin() as connection:
        connection.execute(sa.text("update control.idempotency_keys set expires_at = now()"))
    assert idempotency.find(engine, "shop", "k") is None
    idempotency.remember(engine, "shop", "k", "third")
    assert idempotency.find(engine, "shop", "k") == "third"
    with engine.begin() as connection:
        connection.execute(sa.text("update control.idempotency_keys set expires_at = now()"))
    assert idempotency.prune(engine) == 1


def test_a_used_up_day_is_429_of_another_type_on_every_replica(replicas: Replicas) -> None:
    app_id = f"app_{uuid4().hex[:8]}"
    keys = [{"X-API-Key": replicas.new_key(app_id)} for _ in range(2)]
    lines = [encode(engagement(event_id=str(number))) for number in range(QUOTA + 10)]
    whole, one_line = b"\n".join(lines), lines[0]
    assert replicas.one.post("/v1/batch", content=whole, headers=keys[0]).json()["accepted"] == QUOTA + 10
    refused = replicas.one.post("/v1/batch", content=whole, headers=keys[0])
    for _ in range(50):  # the other replica reads the ledger, which is written once a second
        elsewhere = replicas.two.post("/v1/batch", content=one_line, headers=keys[1])
        if elsewhere.status_code == 429:
            break
        threading.Event().wait(0.1)
    for answer in (refused, elsewhere):
        assert (answer.status_code, answer.json()["type"]) == (429, "urn:tidemark:problem:quota-exceeded")
        assert 1 <= int(answer.headers["Retry-After"]) <= 86_400
        assert "RateLimit" not in answer.headers
    # What is no event needs no quota.
    experiment = {"variants": ["a", "b"]}
    assert replicas.one.put("/experiments/e", json=experiment, headers=keys[0]).status_code == 201
    assert replicas.one.get("/experiments/e", headers=keys[0]).status_code == 200
    schema = {"schema": '"string"'}
    assert replicas.one.post("/subjects/s/versions", json=schema, headers=keys[0]).status_code == 200
    assert replicas.one.get("/subjects/s/versions/latest", headers=keys[0]).status_code == 200
    assert replicas.two.post("/api/v1/events", json=engagement()).status_code == 201


def test_the_days_sum_leaves_other_apps_days_and_topics_out(engine: Engine) -> None:
    midnight = NOW.replace(hour=0, minute=0)
    acknowledged.add(
        engine,
        [
            ("shop", midnight, "live", 5),
            ("shop", NOW.replace(minute=0), "live", 7),
            ("shop", NOW.replace(minute=0), "letters", 100),
            ("shop", midnight.replace(day=20), "live", 1000),
            ("other", midnight, "live", 10_000),
        ],
    )
    assert acknowledged.sum_since(engine, "shop", midnight, ["letters"]) == 12
    assert acknowledged.sum_since(engine, "nobody", midnight, ["letters"]) == 0
