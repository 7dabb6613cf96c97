"""The SDK against the API as it runs: what it says is accepted is in Kafka, once by id, whatever happened to the broker."""

import json
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC
from ingestion.sdk import (
    Event,
    EventClient,
    LostEventError,
    RefusedError,
    RejectedError,
    SDKValidationError,
    Tuning,
    UnavailableError,
    UnknownVariantError,
)
from tests.fixtures.servers import copy_database
from tests.integration.ingestion.one_api.keys import known_key
from tests.integration.ingestion.processes import ApiProcess, KillableBroker, running_api
from tests.integration.ingestion.reading import Landed, read_all
from tests.unit.ingestion.builders import comment, download, engagement, generic

pytestmark = pytest.mark.integration


@pytest.fixture
def app_id() -> str:
    """An app of this test alone: the broker is shared."""
    return f"app_{uuid4().hex[:8]}"


def landed(bootstrap: str, topic: str, app_id: str) -> list[Landed]:
    return read_all(bootstrap, topic, lambda record: record.headers.get("ce_source") == app_id)


@pytest.mark.feature("S1-1")
def test_both_call_forms_and_every_family_reach_kafka_under_their_ids(
    api: ApiProcess, engine: Engine, kafka_bootstrap: str, app_id: str
) -> None:
    key = known_key(engine, app_id)
    families: dict[str, dict[str, Any]] = {
        "engagement": engagement(event_id=...),
        "generic": generic(),
        "social": comment(event_id=..., timestamp=...),
        "download": download(event_id=..., timestamp=...),
    }
    with EventClient(app_id, str(api.client.base_url), 4, write_key=key) as client:
        expected = {
            client.track("u1", "feature_exposed", "exp", "B", {"page": "/ü"}): "product/1",
            client.track(user_id="u1", event_type="conversion"): "product/1",
        }
        for family, fields in families.items():
            expected[client.send(Event.create(family=family, **fields))] = f"{family}/1"
        client.flush(30)
    records = landed(kafka_bootstrap, LIVE_TOPIC, app_id)
    assert {record.headers["ce_id"]: record.headers["ce_dataschema"] for record in records} == expected
    assert len(records) == len(expected)
    (exposed,) = (json.loads(record.value) for record in records if record.headers["ce_type"] == "feature_exposed")
    assert (exposed["app_id"], exposed["variant"], exposed["properties"]) == (app_id, "B", {"page": "/ü"})
    stats = client.stats()
    assert (stats.tracked, stats.accepted, stats.rejected, stats.pending) == (6, 6, 0, 0)


@pytest.mark.feature("S1-2")
def test_variants_come_from_the_experiment_that_is_registered(
    api: ApiProcess, engine: Engine, kafka_bootstrap: str, app_id: str
) -> None:
    key = known_key(engine, app_id)
    experiment = {"variants": ["control", "green"], "shares": [0.5, 0.5]}
    registered = api.client.put("/experiments/checkout", json=experiment, headers={"X-API-Key": key})
    assert registered.status_code == 201
    with EventClient(app_id, str(api.client.base_url), 4, write_key=key, fetches_experiments=True) as client:
        taken = client.track("u1", "feature_exposed", "checkout", "green")
        with pytest.raises(UnknownVariantError):
            client.track("u1", "feature_exposed", "checkout", "B")
        unregistered = client.track("u1", "feature_exposed", "another", "B")
        with pytest.raises(UnknownVariantError):
            client.track("u1", "feature_exposed", "another", "green")
        client.flush(30)
    records = landed(kafka_bootstrap, LIVE_TOPIC, app_id)
    assert {record.headers["ce_id"] for record in records} == {taken, unregistered}


@pytest.mark.feature("S1-2")
def test_what_is_wrong_with_an_event_the_client_or_the_way_are_different_errors(
    api: ApiProcess, engine: Engine, kafka_bootstrap: str, app_id: str
) -> None:
    address = str(api.client.base_url)
    key = known_key(engine, app_id)
    registered = api.client.put("/experiments/exp", json={"variants": ["A", "B", "C"]}, headers={"X-API-Key": key})
    assert registered.status_code == 201
    with EventClient(app_id, address, write_key=key, mode="each", experiments={"exp": ["A", "B", "C"]}) as client:
        client.track("u1", "feature_exposed", "exp", "C")
        for arguments in (("", "page_view"), ("u1", "purchase"), ("u1", "conversion", "exp")):
            with pytest.raises(SDKValidationError):
                client.track(*arguments)
        with pytest.raises(UnknownVariantError):
            client.track("u1", "feature_exposed", "exp", "D")
    with EventClient("another", address, write_key=key, mode="each") as client:
        with pytest.raises(RejectedError) as rejected:
            client.track("u1", "page_view")
        assert rejected.value.code == "wrong_app"
    with (
        EventClient(app_id, address, write_key="tmw_unknown", mode="each") as client,
        pytest.raises(RefusedError, match="wrong_key"),
    ):
        client.track("u1", "page_view")
    with EventClient(app_id, "http://127.0.0.1:9", 0.5, mode="each") as client, pytest.raises(UnavailableError):
        client.track("u1", "page_view")
    assert len(landed(kafka_bootstrap, LIVE_TOPIC, app_id)) == 1
    (letter,) = landed(kafka_bootstrap, DEAD_LETTER_TOPIC, app_id)
    assert letter.value == rejected.value.raw


@pytest.mark.slow
@pytest.mark.feature("S1-1")
def test_through_an_outage_of_the_broker_every_event_arrives_once_by_id(
    tmp_path: Path, postgres_url: str, migrated_database: str
) -> None:
    database_url = copy_database(postgres_url, migrated_database, f"test_{uuid4().hex}")  # where no app has a key yet
    broker = KillableBroker(tmp_path / "broker")
    broker.start()
    lost: list[LostEventError] = []
    try:
        with running_api(broker.bootstrap, database_url) as api:
            client = EventClient(
                "shop",
                str(api.client.base_url),
                timeout=10,
                spool_path=tmp_path / "spool",
                on_error=lost.append,
                tuning=Tuning(flush_interval_seconds=0.05, batch_max_events=50, longest_pause_seconds=1.0),
            )
            ids: list[str] = []

            def track_for(seconds: float) -> None:
                ends_at = time.monotonic() + seconds
                while time.monotonic() < ends_at:
                    ids.append(client.track(f"u{len(ids) % 17}", "page_view", properties={"number": len(ids)}))
                    time.sleep(0.002)

            track_for(2)
            broker.kill()
            track_for(4)
            assert client.stats().pending > 0
            broker.start()
            track_for(1)
            client.flush(90)
            stats = client.close()
        records = read_all(broker.bootstrap, LIVE_TOPIC)
    finally:
        broker.kill()
    assert stats.retries > 0
    assert (stats.tracked, stats.accepted, stats.pending, stats.rejected, lost) == (len(ids), len(ids), 0, 0, [])
    by_id: dict[str, set[bytes]] = {}
    for record in records:
        by_id.setdefault(record.headers["ce_id"], set()).add(record.value)
    assert set(by_id) == set(ids)
    assert {len(bodies) for bodies in by_id.values()} == {1}
    numbers = {json.loads(bodies.pop())["properties"]["number"] for bodies in by_id.values()}
    assert numbers == {*range(len(ids))}
