"""The bounded pool of query threads."""

import asyncio
import threading

import pytest

from serving.errors import UnavailableError
from serving.services import Workers
from serving.snapshots import with_connect_timeout


def test_more_requests_than_may_wait_are_refused_and_the_others_finish() -> None:
    async def scenario() -> list[object]:
        workers = Workers(1, max_waiting=2)
        gate = threading.Event()
        tasks = [asyncio.create_task(workers.run(gate.wait)) for _ in range(5)]
        await asyncio.sleep(0.05)
        gate.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        again = await workers.run(lambda: "free again")
        workers.close()
        return [*outcomes, again]

    outcomes = asyncio.run(scenario())
    assert outcomes[:3] == [True, True, True]
    assert all(isinstance(outcome, UnavailableError) for outcome in outcomes[3:5])
    assert outcomes[5] == "free again"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://h/d", "postgresql://h/d?connect_timeout=5"),
        ("postgresql://h/d?sslmode=require", "postgresql://h/d?sslmode=require&connect_timeout=5"),
        ("postgresql://h/d?connect_timeout=1", "postgresql://h/d?connect_timeout=1"),
    ],
)
def test_the_lake_is_opened_with_a_connect_timeout(url: str, expected: str) -> None:
    assert with_connect_timeout(url) == expected
