"""The registry in PostgreSQL behind the API as it runs, and its migration."""

import threading
import time
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from ingestion.contracts.experiments import Experiment
from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC
from local_stack.postgres import create_database, running_postgres
from storage.control import experiments, make_engine, migrate
from storage.control.keys import create_key
from storage.settings import StorageSettings
from tests.integration.ingestion.processes import ApiProcess, running_api
from tests.integration.ingestion.reading import read_all
from tests.unit.ingestion.builders import product

pytestmark = pytest.mark.integration

BODY = {"variants": ["control", "green"], "shares": [0.9, 0.1], "ends_at": "2030-01-01T00:00:00Z"}


def exposed(variant: str, experiment_id: str = "checkout") -> dict[str, object]:
    return product(event_id=str(uuid4()), event_type="feature_exposed", experiment_id=experiment_id, variant=variant)


@pytest.mark.feature("S1-3")
def test_a_registered_experiment_decides_which_variants_reach_kafka(
    api: ApiProcess, kafka_bootstrap: str, engine: Engine
) -> None:
    app_id = f"app_{uuid4().hex[:8]}"
    key = {"X-API-Key": create_key(engine, app_id, "write")}
    first, again = (api.client.put("/experiments/checkout", json=BODY, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert api.client.get("/experiments/checkout", headers=key).json() == {
        **BODY,
        "starts_at": None,
        "ends_at": "2030-01-01T00:00:00.000000Z",
        "experiment_id": "checkout",
    }
    assert experiments.read_all(engine)[app_id, "checkout"].variants == ("control", "green")

    answers = [api.client.post("/events", json=exposed(variant), headers=key) for variant in ("control", "green", "A")]
    assert [answer.status_code for answer in answers] == [200, 200, 422]
    assert answers[2].json()["code"] == "unknown_variant"
    others = [api.client.post("/events", json=exposed(variant, "other"), headers=key).status_code for variant in "ABC"]
    assert others == [200, 200, 422]
    mine = [
        [record for record in read_all(kafka_bootstrap, topic) if record.headers.get("ce_source") == app_id]
        for topic in (LIVE_TOPIC, DEAD_LETTER_TOPIC)
    ]
    assert [len(records) for records in mine] == [4, 2]
    assert {record.headers["ce_dlqreason"] for record in mine[1]} == {"unknown_variant"}


def test_an_experiment_of_another_process_is_in_force_within_five_seconds(api: ApiProcess, engine: Engine) -> None:
    key = {"X-API-Key": create_key(engine, "shop", "write")}
    assert api.client.post("/events", json=exposed("green"), headers=key).status_code == 422
    experiments.put(engine, "shop", Experiment("checkout", ("control", "green"), (0.5, 0.5)), lambda _: None)
    started = time.monotonic()
    while api.client.post("/events", json=exposed("green"), headers=key).status_code != 200:
        assert time.monotonic() - started < 5
        time.sleep(0.05)
    assert api.client.post("/events", json=exposed("A"), headers=key).status_code == 422


def test_postgresql_being_away_refuses_only_what_is_known_to_be_wrong(kafka_bootstrap: str, tmp_path: Path) -> None:
    with running_postgres(tmp_path / "postgres") as url:
        settings = StorageSettings(database_url=create_database(url, "tidemark"))
        migrate(settings)
        engine = make_engine(settings)
        key = {"X-API-Key": create_key(engine, "shop", "write")}
        engine.dispose()
        context = running_api(kafka_bootstrap, settings.database_url)
        api = context.__enter__()
        assert api.client.put("/experiments/checkout", json=BODY, headers=key).status_code == 201
    try:
        time.sleep(5.1)  # what was read last is too old by then to know what is not registered
        variants = [("green", "checkout"), ("A", "checkout"), ("C", "other")]
        answers = [api.client.post("/events", json=exposed(*variant), headers=key).status_code for variant in variants]
        assert answers == [200, 422, 200]
        assert api.client.get("/experiments/checkout", headers=key).status_code == 200
        schema = {"schema": '"string"'}
        unanswered = [
            api.client.get("/experiments/other", headers=key),
            api.client.put("/experiments/other", json=BODY, headers=key),
            api.client.post("/subjects/s/versions", json=schema, headers=key),
        ]
        assert [(answer.status_code, answer.headers.get("Retry-After")) for answer in unanswered] == [(503, "2")] * 3
    finally:
        context.__exit__(None, None, None)


def test_of_many_at_once_one_creates_and_all_agree(engine: Engine) -> None:
    new, changes = Experiment("checkout", ("x", "y"), (0.3, 0.7), "2026-01-01T00:00:00.000001Z"), []
    threads = [
        threading.Thread(target=lambda: changes.append(experiments.put(engine, "shop", new, lambda _: None)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(changes) == ["created", *["unchanged"] * 5]
    assert experiments.read_all(engine) == {("shop", "checkout"): new}


def test_the_migration_makes_the_table_that_the_code_expects(engine: Engine) -> None:
    from storage.control.tables import experiments as table

    columns = {column["name"]: column for column in sa.inspect(engine).get_columns("experiments", schema="control")}
    assert set(columns) == {column.name for column in table.columns}
    for column in table.columns:
        assert columns[column.name]["nullable"] == column.nullable, column.name
