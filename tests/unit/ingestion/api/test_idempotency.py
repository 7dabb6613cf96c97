"""Idempotency keys: what the store behind the memory is asked, and that nobody waits for it when it is away."""

import asyncio
import threading
from time import monotonic

import pytest

from ingestion.api.errors import RequestError
from ingestion.api.idempotency import IdempotencyKeys, event_id_for


class Store:
    """Used keys in memory, which can fail or hang."""

    def __init__(self) -> None:
        self.used: dict[tuple[str, str], str] = {}
        self.questions = 0
        self.is_broken = False
        self.may_answer = threading.Event()
        self.may_answer.set()

    def find(self, app_id: str, key: str) -> str | None:
        self.questions += 1
        self.may_answer.wait(2)
        if self.is_broken:
            raise ConnectionError("away")
        return self.used.get((app_id, key))

    def remember(self, app_id: str, key: str, event_id: str) -> None:
        self.questions += 1
        self.used.setdefault((app_id, key), event_id)


async def use(keys: IdempotencyKeys, key: str, event_id: str | None) -> str:
    await keys.recall("shop", key)
    chosen = keys.resolve("shop", key, event_id)
    await keys.remember("shop", key, chosen)
    return chosen


def test_a_key_of_another_replica_or_before_a_restart_is_known() -> None:
    store = Store()

    async def run() -> None:
        assert await use(IdempotencyKeys(store), "k", "first") == "first"
        replica = IdempotencyKeys(store)
        with pytest.raises(RequestError, match="another event_id"):
            await use(replica, "k", "second")
        assert await use(replica, "k", None) == "first"
        assert await use(replica, "fresh", None) == event_id_for("shop", "fresh")

    asyncio.run(run())


def test_what_is_in_memory_is_not_asked_for_again() -> None:
    store = Store()

    async def run() -> None:
        keys = IdempotencyKeys(store)
        for _ in range(5):
            await use(keys, "k", None)

    asyncio.run(run())
    assert store.questions == 2


@pytest.mark.parametrize("failure", ["raises", "hangs"])
def test_a_store_that_is_away_costs_a_quarter_of_a_second_once(failure: str) -> None:
    store = Store()
    if failure == "raises":
        store.is_broken = True
    else:
        store.may_answer.clear()

    async def run() -> float:
        keys, started = IdempotencyKeys(store), monotonic()
        for number in range(50):
            await use(keys, f"k{number}", f"e{number}")
        with pytest.raises(RequestError, match="another event_id"):
            await use(keys, "k0", "another")
        seconds = monotonic() - started
        store.may_answer.set()
        return seconds

    assert asyncio.run(run()) < 0.8
    assert store.questions == 1
