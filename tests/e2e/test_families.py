"""Every family of events, by each of its ways in, from HTTP to a publication that the checker agrees with.

The shared stack runs on topics of other names: events go by them all the way, and no other topic exists.
"""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.e2e.conftest import TOPICS
from tests.e2e.stack import Stack, wait_until
from tests.unit.ingestion.builders import comment, download, engagement, generic, product

BATCHED = {"Content-Type": "application/cloudevents-batch+json"}


def events_of_now() -> dict[str, dict[str, Any]]:
    """One event per family, that occurs now, under a fresh id."""
    now = datetime.now(UTC)
    text, milliseconds = now.isoformat(), int(now.timestamp() * 1000)
    return {
        "engagement": engagement(event_id=str(uuid4()), timestamp=text),
        "product": product(event_id=str(uuid4()), event_ts=milliseconds, app_id=...),
        "generic": generic(event_id=str(uuid4()), timestamp=text),
        "social": comment(event_id=str(uuid4()), timestamp=text),
        "download": download(event_id=str(uuid4()), timestamp=milliseconds),
    }


@pytest.mark.feature("S0-2", "S0-4", "S2-1", "S2-14")
def test_every_family_is_published_once(running_stack: Stack) -> None:
    stack = running_stack
    stack.settle()
    before = stack.verify()["counts"]
    headers = {"Authorization": f"Bearer {stack.endpoints['write_key']}"}
    with httpx.Client(base_url=stack.endpoints["ingestion"], headers=headers, timeout=30) as client:
        for family, event in events_of_now().items():
            assert client.post(f"/v1/events/{family}", json=event).status_code == 202
            assert client.post(f"/v1/events/{family}/batch", json={"events": [event]}).status_code == 202  # a copy
        lines = b"\n".join(json.dumps(event).encode() for event in events_of_now().values())
        assert client.post("/v1/batch", content=lines).json() == {"accepted": 5, "rejected": 0, "errors": []}
        sent = events_of_now()
        assert client.post("/api/v1/events", json=sent["engagement"]).status_code == 201
        answer = client.post("/events", json=sent["product"])
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "event_id": sent["product"]["event_id"]})
        assert client.post("/events", json=sent["generic"]).status_code == 202
        call = {"type": "track", "userId": "ada", "event": "Order Completed", "messageId": str(uuid4())}
        for _ in range(2):
            assert client.post("/v1/batch", json={"batch": [call]}).json() == {"success": True}
        binary = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": f"/e2e/{uuid4()}", "ce-type": "com.example.read"}
        structured = {name.removeprefix("ce-"): value for name, value in binary.items()} | {"data": {"value": 3.5}}
        assert client.post("/v1/cloudevents", json={"value": 3.5}, headers=binary).status_code == 202
        assert client.post("/v1/cloudevents", content=json.dumps([structured]), headers=BATCHED).status_code == 202
        carried = {**structured, "dataschema": "tidemark:engagement/1", "data": sent["engagement"]}
        assert client.post("/v1/cloudevents", content=json.dumps([carried]), headers=BATCHED).status_code == 202
    assert stack.post("/api/v1/events", b'{"event_type": "like"}').status_code == 422
    stack.open_inlet().send([str(uuid4())] * 2, datetime.now(UTC))
    stack.settle()

    counts = stack.verify()["counts"]
    names = ("accepted", "dead_letters", "silver", "duplicates", "quarantined", "published")
    assert {name: counts[name] - before[name] for name in names} == {
        "accepted": 25,
        "dead_letters": 1,
        "silver": 16,
        "duplicates": 9,
        "quarantined": 1,
        "published": 16,
    }
    hot = wait_until(lambda: fitting(stack.run("hot-store", "check")), 60, "the hot store to have them")
    assert hot["hot_count"] >= 15
    assert_only_the_named_topics_are_used(stack, [event["event_id"] for event in sent.values()])


def assert_only_the_named_topics_are_used(stack: Stack, event_ids: list[str]) -> None:
    from kafka.admin import KafkaAdminClient

    rows = stack.published_rows("select distinct kafka_topic from lake.silver.events where event_id in $1", event_ids)
    assert rows == [(TOPICS["KAFKA_TOPIC"],)]
    letters = stack.published_rows("select distinct kafka_topic from lake.silver.quarantine where stage = 'edge'")
    assert letters == [(TOPICS["KAFKA_DLQ_TOPIC"],)]
    admin = KafkaAdminClient(bootstrap_servers=stack.endpoints["kafka"])
    try:
        assert {name for name in admin.list_topics() if not name.startswith("__")} == set(TOPICS.values())
    finally:
        admin.close()


def fitting(checked: dict[str, Any]) -> dict[str, Any] | None:
    """What `hot-store check` said, once the consumers are through."""
    return checked if checked["ok"] and checked["hot_count"] >= checked["bronze_count"] else None
