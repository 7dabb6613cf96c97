"""Topics of other names: events go by them from HTTP to the answers, and no other topic exists. The shared stack runs on such names."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tests.e2e.conftest import TOPICS
from tests.e2e.stack import Stack


@pytest.mark.feature("S0-4", "S2-14")
def test_the_whole_platform_moves_to_topics_of_other_names(running_stack: Stack) -> None:
    from kafka.admin import KafkaAdminClient

    stack, user = running_stack, f"user-{uuid4().hex[:8]}"
    stack.settle()
    before = stack.verify()["counts"]
    for _ in range(2):
        stack.send_event(user_id=user, timestamp=datetime.now(UTC).isoformat())
    assert stack.post("/api/v1/events", b'{"event_type": "like"}').status_code == 422
    stack.settle()

    counts = stack.verify()["counts"]
    names = ("accepted", "dead_letters", "silver", "quarantined", "published")
    assert {name: counts[name] - before[name] for name in names} == {
        "accepted": 2,
        "dead_letters": 1,
        "silver": 2,
        "quarantined": 1,
        "published": 2,
    }
    rows = stack.published_rows("select kafka_topic from lake.silver.events where user_id = ?", user)
    assert rows == [(TOPICS["KAFKA_TOPIC"],)] * 2
    letters = stack.published_rows("select distinct kafka_topic from lake.silver.quarantine where stage = 'edge'")
    assert letters == [(TOPICS["KAFKA_DLQ_TOPIC"],)]
    admin = KafkaAdminClient(bootstrap_servers=stack.endpoints["kafka"])
    try:
        assert {name for name in admin.list_topics() if not name.startswith("__")} == set(TOPICS.values())
    finally:
        admin.close()
