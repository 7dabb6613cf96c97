"""`tidemark hot-store redrive`: what a worker could not handle comes back once its cause is repaired, over real parts."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from typer.testing import CliRunner

from cli.main import build_app
from ingestion.contracts.reasons import Reason
from ingestion.contracts.topics import DEAD_LETTER_TOPIC, DOWNLOADS_TOPIC, LIVE_TOPIC, MAX_VALUE_SIZE_BYTES
from ingestion.schema_registry.own_contracts import register_own
from ingestion.schema_registry.service import SchemaRegistry
from ingestion.schema_registry.store import PostgresRegistryStore
from local_stack.waiting import wait_until
from platform_assets.settings import PROJECT_ROOT
from runtime.crash_points import CrashPoint
from storage.control import make_engine
from storage.hot_store.store import HotStore
from storage.settings import StorageSettings
from streaming.hot_store.dead_letters import DeadLetter, KafkaDeadLetters
from streaming.hot_store.records import Record
from tests.fixtures.hot_events import live_record
from tests.integration.hot_store.landing import land
from tests.integration.hot_store.workers import app_records, committed, ends, produce, running_worker
from tests.integration.ingestion.reading import read_all
from tests.integration.verification.rows import avro_download

pytestmark = pytest.mark.integration
REFUSE = """
create function hot.refuse() returns trigger language plpgsql as $$
begin
    if new.body like '%refuse me%' then raise exception using errcode = '22023', message = 'not this one'; end if;
    return new;
end $$;
create trigger refuse before insert on hot.events for each row execute function hot.refuse()
"""
FIRST_SCHEMA_ID = 1


@pytest.fixture
def engine(
    storage_settings: StorageSettings, bootstrap: str, group: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Engine]:
    """The platform's database; the commands know the platform through the environment."""
    for name, value in {
        "TIDEMARK_STORAGE_DATABASE_URL": storage_settings.database_url,
        "TIDEMARK_STORAGE_BRONZE_URI": storage_settings.bronze_uri,
        "TIDEMARK_STORAGE_EXTENSIONS_DIR": str(storage_settings.extensions_dir),
        "TIDEMARK_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "TIDEMARK_HOT_STORE_CONSUMER_GROUP": group,
        "TIDEMARK_HOME": str(tmp_path / "home"),
    }.items():
        monkeypatch.setenv(name, value)
    engine = make_engine(storage_settings, pool_size=1)
    yield engine
    engine.dispose()


def command(*arguments: str, expected_exit: int = 0) -> dict[str, Any]:
    """A `tidemark hot-store … --json` in this process; its data."""
    done = CliRunner().invoke(build_app(), ["hot-store", *arguments, "--json"])
    assert done.exit_code == expected_exit, (done.output, done.exception)
    return dict(json.loads(done.stdout)) if done.stdout.strip() else {}


def outcomes(found: dict[str, Any]) -> dict[str, str]:
    """What became of each event, by its id or why it stays out; the counts must add up to it."""
    counts = Counter(letter["outcome"] for letter in found["letters"])
    kinds = ("redriven", "already", "expired", "still_bad")
    assert {kind: found[kind] for kind in kinds if found[kind]} == counts
    assert found["selected"] == counts.total() == len({letter["coordinates"] for letter in found["letters"]})
    return {letter["event_id"] or letter["remaining_reason"] or "": letter["outcome"] for letter in found["letters"]}


def ids(store: HotStore, app_id: str) -> list[str]:
    return sorted(event.event_id for event in store.latest(app_id, 1000))


@pytest.mark.feature("S2-5", "S2-F1", "S2-10")
def test_what_a_worker_lettered_comes_back_once_and_the_rest_stays(
    bootstrap: str, storage_settings: StorageSettings, postgres: HotStore, engine: Engine, app_id: str, group: str
) -> None:
    def record(event_id: str, value: bytes | None = None, **stamps: bytes) -> Record:
        usual = live_record(0, event_id, key=b"one", stamps={"source": app_id.encode(), **stamps})
        return usual if value is None else replace(usual, value=value)

    refused, old = b'{"note": "refuse me"}', (datetime.now(UTC) - timedelta(days=9)).isoformat().encode()
    big = b'{"note": "refuse me", "x": "%s"}' % (b"x" * MAX_VALUE_SIZE_BYTES)
    avro = avro_download(0, FIRST_SCHEMA_ID).value
    sent = [
        record("good"),
        record("refused", refused),
        record("big", big),
        record("old", refused, time=old),
        record("twin", refused),
        record("twin"),
        record("avro", avro, dataschema=b"download/1"),
        record("bad-for-bronze", refused),
        record("broken", b"{"),
    ]
    with engine.begin() as connection:
        connection.execute(sa.text(REFUSE))
    produce(bootstrap, sent)
    url = storage_settings.database_url
    with running_worker(bootstrap, url, group, TIDEMARK_HOT_STORE_TTL_DAYS="30"):
        wait_until(lambda: committed(bootstrap, group) == ends(bootstrap), "every offset to be committed", 90)
    passed = committed(bootstrap, group)
    assert ids(postgres, app_id) == ["good", "twin"]
    letters = read_all(bootstrap, DEAD_LETTER_TOPIC, lambda letter: letter.headers.get("ce_dlqgroup") == group)
    assert min(len(letter.value) for letter in letters if letter.headers["ce_id"] == "big") < len(big), "a cut one"

    # Nothing is repaired, nothing has landed: the records are in Kafka.
    assert command("redrive", expected_exit=2) == {}
    before = command("redrive", "--yes")
    assert before["remaining_reasons"] == {"malformed_json": 1, "unknown_schema": 1, "unstorable": 3}
    assert (before["redriven"], before["already"], before["expired"], before["still_bad"]) == (0, 1, 1, 5)
    assert ids(postgres, app_id) == ["good", "twin"]

    register_own(SchemaRegistry(PostgresRegistryStore(engine)), DOWNLOADS_TOPIC)
    only_avro = ("redrive", "--reason", "unknown_schema", "--app", app_id, "--from", "2026-01-01", "--yes")
    assert outcomes(command(*only_avro)) == {"avro": "redriven"}
    assert command("redrive", "--app", "another", "--dry-run")["selected"] == 0
    assert command("redrive", "--to", "2026-01-01", "--dry-run")["selected"] == 0

    land(bootstrap, storage_settings.bronze_uri, app_id, rejected={"bad-for-bronze": "unknown_contract"})
    checked = command("check")
    assert (checked["missing_count"], checked["unfounded_count"]) == (0, 0)
    assert checked["excused"] == [f"{app_id}/{event_id}" for event_id in ("big", "broken", "refused")]

    with engine.begin() as connection:
        connection.execute(sa.text("drop trigger refuse on hot.events"))
    planned = outcomes(command("redrive", "--dry-run"))
    assert ids(postgres, app_id) == ["avro", "good", "twin"], "a dry run writes nothing"
    done = outcomes(command("redrive", "--yes"))
    assert (
        planned
        == done
        == {
            "refused": "redriven",
            "big": "redriven",
            "": "expired",
            "twin": "already",
            "avro": "already",
            "unknown_contract": "still_bad",
            "malformed_json": "still_bad",
        }
    )
    there = ["avro", "big", "good", "refused", "twin"]
    assert ids(postgres, app_id) == there
    [whole] = [event for event in postgres.latest(app_id, 10) if event.event_id == "big"]
    assert whole.body == big

    again = command("redrive", "--yes")
    assert (again["redriven"], again["already"]) == (0, 4)
    assert ids(postgres, app_id) == there
    checked = command("check")
    assert (checked["ok"], checked["excused"]) == (True, [f"{app_id}/broken"])
    assert committed(bootstrap, group) == passed, "no offset of the group moves"
    newest = read_all(bootstrap, DEAD_LETTER_TOPIC, lambda letter: letter.headers.get("ce_dlqgroup") == group)
    assert len(newest) == len(letters), "no letter is sent"


@pytest.mark.feature("S2-F1")
def test_a_killed_redrive_is_finished_by_the_next(
    bootstrap: str, postgres: HotStore, engine: Engine, app_id: str, group: str, tmp_path: Path
) -> None:
    produce(bootstrap, app_records(app_id, range(5)))
    own = read_all(bootstrap, LIVE_TOPIC, lambda record: record.headers.get("ce_source") == app_id)
    letters = KafkaDeadLetters(bootstrap, DEAD_LETTER_TOPIC, group)
    for _ in range(2):  # each twice, as after a crash before the commit
        records = [
            live_record(place.offset, partition=place.partition, stamps={"source": app_id.encode()}) for place in own
        ]
        letters.send([DeadLetter(record, Reason.HANDLER_FAILED, "E", "a bug", datetime.now(UTC)) for record in records])
    letters.close()

    armed = tmp_path / CrashPoint.HOT_STORE_WRITTEN
    armed.touch()
    line = [sys.executable, "-m", "cli.main", "hot-store", "redrive", "--yes"]
    environment = {**os.environ, "TIDEMARK_CRASH_POINTS_DIR": str(tmp_path)}
    killed = subprocess.run(line, env=environment, cwd=PROJECT_ROOT, capture_output=True, timeout=300, check=False)
    assert (killed.returncode, armed.exists()) == (-9, False), killed.stderr
    assert len(ids(postgres, app_id)) == 1

    found = command("redrive", "--yes")
    assert (found["selected"], found["redriven"], found["already"]) == (5, 4, 1)
    assert ids(postgres, app_id) == [f"e-{number:05}" for number in range(5)]


@pytest.mark.feature("S2-5")
def test_a_redrive_without_its_services_says_so(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setattr("storage.verification.kafka_log.CONNECT_TIMEOUT_SECONDS", 1)
    assert command("redrive", "--yes", expected_exit=3) == {}
