"""The hot store's asset and commands, over a real broker, bronze and PostgreSQL."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from typer.testing import CliRunner

from cli.main import build_app
from platform_assets.assets.hot_store import CHECK, hot_store
from platform_assets.resources.warehouse import WarehouseResource
from storage.hot_store.opening import open_hot_store
from storage.hot_store.settings import HotStoreSettings
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import engagement_row, write_bronze
from tests.fixtures.hot_events import hot_event

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC)


@pytest.fixture
def storage(
    storage_settings: StorageSettings,
    kafka_bootstrap: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> StorageSettings:
    """Two days in the hot store, one of them over; bronze holds the other one's event."""
    for name, value in {
        "TIDEMARK_STORAGE_DATABASE_URL": storage_settings.database_url,
        "TIDEMARK_STORAGE_BRONZE_URI": storage_settings.bronze_uri,
        "TIDEMARK_STORAGE_BUILDS_DIR": str(storage_settings.builds_dir),
        "TIDEMARK_STORAGE_EXTENSIONS_DIR": str(storage_settings.extensions_dir),
        "TIDEMARK_KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "TIDEMARK_HOME": str(tmp_path_factory.mktemp("home")),
    }.items():
        monkeypatch.setenv(name, value)
    recent = NOW - timedelta(minutes=5)
    write_bronze(storage_settings.bronze_uri, [engagement_row(0, recent, "new")])
    store = open_hot_store(HotStoreSettings(), storage_settings)
    store.write(
        [
            hot_event("new", app_id="public", occurred_at=recent),
            hot_event("old", app_id="public", occurred_at=NOW - timedelta(days=20)),
        ]
    )
    store.close()
    return storage_settings


def materialize(
    storage: StorageSettings, *, dry_run: bool = False
) -> tuple[dg.ExecuteInProcessResult, dict[str, object]]:
    warehouse = WarehouseResource()
    config = {"ops": {hot_store.op.name: {"config": {"dry_run": dry_run}}}}
    result = dg.materialize([hot_store], resources={"warehouse": warehouse}, run_config=config)
    [event] = result.asset_materializations_for_node(hot_store.op.name)
    return result, {name: value.value for name, value in event.metadata.items()}


@pytest.mark.feature("S2-10")
def test_the_asset_tells_drops_and_compares(storage: StorageSettings) -> None:
    _, planned = materialize(storage, dry_run=True)
    assert (planned["planned_events"], planned["removed_events"]) == (1, 0)

    result, done = materialize(storage)
    assert (done["planned_events"], done["removed_events"], done["hot_events"]) == (1, 1, 1)
    assert [(item.check_name, item.passed) for item in result.get_asset_check_evaluations()] == [(CHECK, True)]

    store = open_hot_store(HotStoreSettings(), storage)
    store.write([hot_event("never sent", app_id="public")])
    store.close()
    result, again = materialize(storage)
    assert again["removed_events"] == 0
    assert [item.passed for item in result.get_asset_check_evaluations()] == [False]


@pytest.mark.feature("S2-9")
def test_the_commands_say_what_they_do_before_they_do_it(storage: StorageSettings) -> None:
    run = CliRunner().invoke
    app = build_app()

    planned = json.loads(run(app, ["hot-store", "expire", "--dry-run", "--json"]).stdout)
    done = json.loads(run(app, ["hot-store", "expire", "--json"]).stdout)
    assert [day["event_count"] for day in planned["days"] if day["event_count"]] == [1]
    assert done["days"] == planned["days"]
    assert json.loads(run(app, ["hot-store", "expire", "--json"]).stdout)["days"] == []

    checked = run(app, ["hot-store", "check", "--json"])
    assert checked.exit_code == 0
    assert json.loads(checked.stdout)["hot_count"] == 1

    day = f"{NOW - timedelta(minutes=5):%Y-%m-%d}"
    counted = json.loads(run(app, ["export-cold", "--date", day, "--dry-run", "--json"]).stdout)
    written = json.loads(run(app, ["export-cold", "--date", day, "--json"]).stdout)
    assert (counted["event_count"], written["event_count"], counted["dry_run"]) == (1, 1, True)
    assert run(app, ["export-cold", "--date", "yesterday"]).exit_code == 2
