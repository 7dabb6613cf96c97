"""A member of the consumer group gets its partitions, whatever joining takes; and how far the group is, with or without members."""

import time
from typing import Any

import pytest

from ingestion.contracts.topics import LIVE_TOPIC
from runtime.group_watch import read_positions
from runtime.kafka_clients import Consumer
from tests.integration.hot_store.workers import app_records, ends, produce

pytestmark = pytest.mark.integration

POLL_MILLISECONDS = 100


@pytest.mark.feature("S2-3")
def test_a_join_that_outlasts_a_poll_is_completed_by_a_later_one(bootstrap: str, group: str) -> None:
    # Regression: a worker on a busy machine lived on without a partition, and nobody read what was its.
    consumer: Any = Consumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        retry_backoff_ms=1000,  # so long it does not ask for the topic: the first join is one without partitions
    )
    coordinator = consumer._coordinator
    join, joins = coordinator._do_join_and_sync_async, []

    async def join_slowly() -> Any:
        assignment = await join()
        joins.append(assignment)
        await consumer._net.sleep(2.5 * POLL_MILLISECONDS / 1000)
        return assignment

    coordinator._do_join_and_sync_async = join_slowly
    try:
        consumer.subscribe([LIVE_TOPIC])
        until = time.monotonic() + 4
        while time.monotonic() < until:
            consumer.poll(POLL_MILLISECONDS)
        assert len(joins) == 2, "one without knowing the topic, one that outlasts a poll; then it rests"
        assert len(consumer.assignment()) == 4
    finally:
        consumer.close(autocommit=False)


@pytest.mark.feature("S2-16")
def test_how_far_a_group_is_can_be_read_while_nobody_is_in_it(bootstrap: str, group: str, app_id: str) -> None:
    def waiting(name: str) -> int:
        return sum(end - position for position, end in read_positions(bootstrap, name, LIVE_TOPIC).values())

    assert waiting(group) == 0
    produce(bootstrap, app_records(app_id, range(30)))
    assert waiting(group) == 30
    assert waiting("a-group-that-never-was") == sum(ends(bootstrap).values()) >= 30
