"""Two bugs planted in the product itself, on real parts: the checker passes without them and fails with them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from platform_assets.build import Builder
from storage.control import make_engine
from storage.lake import DEFAULT_MANIFEST, create_missing_tables
from storage.settings import StorageSettings
from storage.tables import load_table_specs
from storage.verification import verify
from tests.fixtures.lakehouse import DBT_DIR, DbtInProcess, Lakehouse
from tests.integration.ingestion.processes import running_api
from tests.integration.verification.rows import HOUR, engagement
from tests.integration.verification.world import World

pytestmark = [pytest.mark.integration, pytest.mark.feature("K10")]


@pytest.fixture
def project_without_deduplication(tmp_path: Path) -> Path:
    """A copy of the dbt project whose silver.events takes every copy of an event."""
    project = tmp_path / "dbt_project"
    shutil.copytree(DBT_DIR, project, ignore=shutil.ignore_patterns("target", "logs"))
    model = project / "models" / "silver" / "events.sql"
    kept, found, rest = model.read_text().partition("anti join")
    assert found, "the model no longer leaves duplicates out by an anti join"
    model.write_text(kept + "where landed.reason is null\n")
    assert "where landed.reason is null" in rest
    return project


def publish(world: World, dbt: DbtInProcess) -> None:
    """Builds and publishes the hour by dbt, as a run does."""
    specs = load_table_specs(DEFAULT_MANIFEST)
    builder = Builder(world.settings, world.engine, specs, dbt, code_version="test")
    Lakehouse(world.settings, world.engine, specs, builder).publish([HOUR])


@pytest.fixture
def landed(storage_settings: StorageSettings) -> Iterator[World]:
    """Three landed records, two of one event, over the product's own tables."""
    create_missing_tables(storage_settings)
    engine = make_engine(storage_settings)
    world = World(storage_settings, engine)
    world.land(engagement(0), engagement(1), engagement(2, event_id="e1", minutes=12))
    yield world
    engine.dispose()


def test_deduplication_off_is_seen(landed: World, project_without_deduplication: Path) -> None:
    world = landed
    with pytest.raises(AssertionError, match="assert_event_ids_are_unique_within_the_horizon"):
        publish(world, DbtInProcess(world.settings, project=project_without_deduplication))
    assert world.verify().ok, "nothing is published by a build that its own checks refuse"

    publish(world, DbtInProcess(world.settings, project=project_without_deduplication, checks=False))

    failed = {check.name: check for check in world.verify().failed}
    unique = failed["event_ids_are_unique_within_the_horizon"]
    assert (unique.invariant, any("e1" in line for line in unique.offending)) == ("I2", True), unique
    assert {check.invariant for check in failed.values()} >= {"I2", "I4"}, failed


def test_the_same_hour_with_deduplication_is_sound(landed: World) -> None:
    publish(landed, DbtInProcess(landed.settings))
    report = landed.verify()
    assert report.ok, report.failed
    assert (report.counts["silver"], report.counts["duplicates"]) == (2, 1)


@pytest.mark.parametrize(
    ("module", "is_sound"),
    [("ingestion.api", True), ("tests.integration.verification.early_acknowledging_api", False)],
    ids=["acknowledged by Kafka", "acknowledged before Kafka"],
)
def test_an_acknowledgement_before_kafka_has_it_is_seen(
    module: str, is_sound: bool, kafka_bootstrap: str, storage_settings: StorageSettings, tmp_path: Path
) -> None:
    """kill -9 right after the answers."""
    settings = storage_settings.model_copy(update={"kafka_bootstrap_servers": kafka_bootstrap})
    receipts = tmp_path / "receipts.ndjson"
    with running_api(kafka_bootstrap, settings.database_url, module=module) as api:
        answers = [send(api.client) for _ in range(3)]
        api.process.kill()
    receipts.write_text("\n".join(json.dumps({"app_id": "public", "event_id": event_id}) for event_id in answers))
    checks = {check.name: check for check in verify(settings, receipts=[receipts]).checks}
    held = checks["receipts_are_held"]
    assert (held.invariant, held.ok) == ("I1", is_sound), held
    if not is_sound:
        assert held.offending[0].endswith("is acknowledged and nowhere")


def send(client: httpx.Client) -> str:
    body = {"event_type": "like", "user_id": "ada", "platform": "web", "content_id": "post-1"}
    answer = client.post("/api/v1/events", json=body)
    assert answer.status_code == 201
    return str(answer.json()["event_id"])
