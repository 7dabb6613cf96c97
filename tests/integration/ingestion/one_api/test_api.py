"""The API as it runs: what an answer promises is in Kafka when the answer arrives."""

import gzip
import json
import threading
from collections import defaultdict
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine

from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC
from local_stack.postgres import create_database, running_postgres
from storage.control import acknowledged, make_engine, migrate
from storage.control.keys import create_key
from storage.settings import StorageSettings
from tests.fixtures.envelopes import ADDRESSES, RULES
from tests.integration.ingestion.one_api.keys import known_key
from tests.integration.ingestion.processes import ApiProcess, running_api
from tests.integration.ingestion.reading import Landed, read_all
from tests.unit.ingestion.builders import encode, engagement, generic

pytestmark = pytest.mark.integration


@pytest.fixture
def app_id() -> str:
    """An app of this test alone: the broker is shared."""
    return f"app_{uuid4().hex[:8]}"


@pytest.fixture
def key(engine: Engine, app_id: str) -> dict[str, str]:
    """Headers with the app's write key."""
    return {"Authorization": f"Bearer {known_key(engine, app_id)}"}


def landed(bootstrap: str, topic: str, app_id: str) -> list[Landed]:
    return read_all(bootstrap, topic, lambda record: record.headers.get("ce_source") == app_id)


@pytest.mark.feature("S0-1")
def test_an_acknowledged_event_is_in_kafka_byte_for_byte_as_often_as_it_was_sent(
    api: ApiProcess, kafka_bootstrap: str, app_id: str, key: dict[str, str]
) -> None:
    body = b'{"event_type": "like",  "user_id":" \xc3\xbc 1 ","platform":"ios","event_id":"e-1"}'
    for _ in range(2):
        answer = api.client.post("/api/v1/events", content=body, headers=key)
        assert (answer.status_code, answer.json()["event_id"]) == (201, "e-1")
    records = landed(kafka_bootstrap, LIVE_TOPIC, app_id)
    assert [(record.key, record.value) for record in records] == [("ü 1".encode(), body)] * 2
    assert records[0].headers["ce_id"] == "e-1"
    assert records[0].headers["ce_dataschema"] == "engagement/1"


@pytest.mark.feature("S0-2")
@pytest.mark.feature("S0-3")
def test_rejected_events_are_dead_letters_with_reason_and_bytes(
    api: ApiProcess, kafka_bootstrap: str, app_id: str, key: dict[str, str]
) -> None:
    answer = api.client.post("/api/v1/events/batch", json={"events": [{"user_id": "u1"}, 7]}, headers=key)
    assert (answer.status_code, answer.json()["status"], answer.json()["failed"]) == (422, "error", 2)
    single = api.client.post("/api/v1/events", content=b'{"a":NaN}', headers=key)
    assert single.status_code == 422
    letters = landed(kafka_bootstrap, DEAD_LETTER_TOPIC, app_id)
    assert {(letter.value, letter.headers["ce_dlqreason"], letter.headers["ce_dlqstage"]) for letter in letters} == {
        (b'{"user_id":"u1"}', "missing_field", "edge"),
        (b"7", "not_an_object", "edge"),
        (b'{"a":NaN}', "not_finite_number", "edge"),
    }
    assert {letter.key for letter in letters} == {b"u1", None}
    assert landed(kafka_bootstrap, LIVE_TOPIC, app_id) == []


@pytest.mark.feature("S0-3")
def test_an_event_that_breaks_any_rule_of_the_table_is_a_dead_letter_with_its_reason(
    api: ApiProcess, kafka_bootstrap: str, app_id: str, key: dict[str, str]
) -> None:
    sent = set()
    for rule in RULES:
        body, reason = rule.bad[0]
        answer = api.client.post(ADDRESSES[rule.contract][0], content=body, headers=key)
        assert (answer.status_code, answer.json()["code"]) == (422, reason)
        sent.add((body, reason))
    letters = landed(kafka_bootstrap, DEAD_LETTER_TOPIC, app_id)
    assert {(letter.value, letter.headers["ce_dlqreason"]) for letter in letters} == sent
    assert len(letters) == len(RULES)
    assert landed(kafka_bootstrap, LIVE_TOPIC, app_id) == []


@pytest.mark.feature("S0-4")
def test_one_users_events_keep_their_order_and_their_partition(
    api: ApiProcess, kafka_bootstrap: str, app_id: str, key: dict[str, str]
) -> None:
    for batch in range(10):
        lines = [
            encode(engagement(user_id=f"user_{n % 23}", event_id=f"{batch:02d}-{n:04d}"))
            for n in range(batch * 7, 1500)
        ]
        answer = api.client.post("/v1/batch", content=b"\n".join(lines), headers=key)
        assert answer.json()["accepted"] == len(lines)
    by_user: dict[bytes | None, list[Landed]] = defaultdict(list)
    for record in landed(kafka_bootstrap, LIVE_TOPIC, app_id):
        by_user[record.key].append(record)
    assert len(by_user) == 23
    for records in by_user.values():
        assert len({record.partition for record in records}) == 1
        ids = [record.headers["ce_id"] for record in records]
        assert ids == sorted(ids)
    assert len({records[0].partition for records in by_user.values()}) == 4


@pytest.mark.feature("S2-1")
def test_a_generic_event_with_an_idempotency_key_is_the_same_event_on_every_process(
    api: ApiProcess, kafka_bootstrap: str, app_id: str, key: dict[str, str]
) -> None:
    answers = [api.client.post("/events", json=generic(), headers={**key, "Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    records = landed(kafka_bootstrap, LIVE_TOPIC, app_id)
    assert {record.headers["ce_id"] for record in records} == {answers[0].json()["event_id"]}
    assert len(records) == 2


def test_a_gzip_bomb_is_413_and_costs_no_memory(api: ApiProcess) -> None:
    before = api.resident_bytes()
    bomb = gzip.compress(b"0" * 500_000_000, 9)
    answer = api.client.post("/v1/batch", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    assert api.resident_bytes() - before < 150 * 1024 * 1024
    assert api.is_healthy()


def test_a_body_beyond_the_limit_is_answered_and_not_reset(api: ApiProcess) -> None:
    answer = api.client.post("/v1/batch", content=b" " * (40 * 1024 * 1024))
    assert answer.status_code == 413


def test_counts_in_the_ledger_equal_the_records_even_when_stopped_at_once(
    kafka_bootstrap: str, storage_settings: StorageSettings, engine: Engine, app_id: str, key: dict[str, str]
) -> None:
    accepted: list[int] = []
    with running_api(kafka_bootstrap, storage_settings.database_url) as api:

        def send(client: httpx.Client) -> None:
            lines = b"\n".join(encode(engagement(event_id=str(uuid4()))) for _ in range(500)) + b"\n{"
            try:
                while True:
                    answer = client.post("/v1/batch", content=lines, headers=key)
                    accepted.append(answer.json()["accepted"])
            except httpx.TransportError:
                return

        threads = [threading.Thread(target=send, args=(api.client,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        while sum(accepted) < 3000:
            threading.Event().wait(0.01)
        api.process.terminate()
        api.process.wait(30)
        for thread in threads:
            thread.join()
    live, letters = (landed(kafka_bootstrap, topic, app_id) for topic in (LIVE_TOPIC, DEAD_LETTER_TOPIC))
    counted: dict[str, int] = defaultdict(int)
    for counted_app, _, topic, count in acknowledged.read_all(engine):
        if counted_app == app_id:
            counted[topic] += count
    assert counted == {LIVE_TOPIC: len(live), DEAD_LETTER_TOPIC: len(letters)}
    # Every request in flight at SIGTERM was answered: nothing is in Kafka that no client knows of.
    assert len(live) == sum(accepted)


def test_keys_and_ingestion_work_on_while_postgresql_is_away(kafka_bootstrap: str, tmp_path: Path) -> None:
    with running_postgres(tmp_path / "postgres") as url:
        settings = StorageSettings(database_url=create_database(url, "tidemark"))
        migrate(settings)
        engine = make_engine(settings)
        key = {"X-API-Key": create_key(engine, "shop", "write")}
        engine.dispose()
        api_context = running_api(kafka_bootstrap, settings.database_url)
        api = api_context.__enter__()
        assert api.client.post("/api/v1/events", json=engagement(), headers=key).status_code == 201
    try:
        for _ in range(3):
            assert api.client.post("/api/v1/events", json=engagement(), headers=key).status_code == 201
        health = api.client.get("/health")
        assert health.status_code == 200
        assert json.loads(health.text)["kafka"] == "connected"
    finally:
        api_context.__exit__(None, None, None)
