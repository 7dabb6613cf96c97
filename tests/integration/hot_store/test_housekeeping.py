"""The hot store's asset and commands, over a real broker, bronze and PostgreSQL."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

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
from tests.integration.hot_store.workers import commit

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


@pytest.mark.feature("S2-10", "K10")
def test_the_check_exits_with_1_and_names_what_differs(
    storage: StorageSettings, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = f"event-processors-{uuid4().hex[:8]}"
    monkeypatch.setenv("TIDEMARK_HOT_STORE_CONSUMER_GROUP", group)
    write_bronze(storage.bronze_uri, [engagement_row(1, NOW - timedelta(minutes=4), "lost")])
    assert check() == (0, {"missing": [], "unfounded": []}), "the group has not come so far"

    commit(kafka_bootstrap, group, {0: 2})
    assert check() == (1, {"missing": ["public/lost"], "unfounded": []})

    store = open_hot_store(HotStoreSettings(), storage)
    store.write([hot_event("never sent", app_id="public"), hot_event("lost", app_id="public", kafka_offset=1)])
    store.close()
    assert check() == (1, {"missing": [], "unfounded": ["public/never sent"]})


def test_the_check_exits_with_3_when_there_is_no_broker(
    storage: StorageSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setattr("storage.hot_store.group_offsets.TIMEOUT_MILLISECONDS", 1000)
    assert CliRunner().invoke(build_app(), ["hot-store", "check"]).exit_code == 3


def test_the_check_exits_with_3_when_bronze_cannot_be_read(
    storage: StorageSettings, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Regression: a traceback, and 1, which says that something differs.
    write_bronze(storage.bronze_uri, [engagement_row(1, NOW - timedelta(minutes=4), "e")])
    for file in Path(storage.bronze_uri).rglob("*.parquet"):
        file.unlink()
    done = CliRunner().invoke(build_app(), ["hot-store", "check"])
    assert (done.exit_code, "A service is unreachable" in done.output) == (3, True)


def check() -> tuple[int, dict[str, list[str]]]:
    """The exit code and what is named, the same with --json and without."""
    told, data = (CliRunner().invoke(build_app(), ["hot-store", "check", *option]) for option in ((), ("--json",)))
    found = json.loads(data.stdout)
    named = {what: found[what] for what in ("missing", "unfounded")}
    assert (told.exit_code, found["ok"]) == (data.exit_code, data.exit_code == 0)
    for what, keys in named.items():
        assert [line for line in told.output.splitlines() if line.startswith(f"  {what}: ")] == [
            f"  {what}: {key}" for key in keys
        ]
    return data.exit_code, named
