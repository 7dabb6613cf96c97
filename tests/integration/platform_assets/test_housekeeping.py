"""Retention and stream health on a real lake and database."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from cli.main import build_app
from platform_assets.resources.warehouse import WarehouseResource
from platform_assets.sensors.stream_health import stream_health_sensor
from storage import publications
from storage.control import migrate
from storage.control.alerts import list_open
from storage.control.heartbeats import beat
from storage.control.tables import heartbeats
from storage.maintenance import expire
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import engagement_row
from tests.fixtures.lakehouse import open_lakehouse

pytestmark = pytest.mark.integration
T0 = datetime(2026, 1, 5, 10, tzinfo=UTC)


def test_an_expired_publication_is_gone_and_the_kept_ones_answer_as_before(storage_settings: StorageSettings) -> None:
    lakehouse = open_lakehouse(storage_settings, checks=False)
    made = []
    for offset in range(3):
        lakehouse.land([engagement_row(offset, T0)])
        made.append(lakehouse.publish([T0]).publication)
    first, second, third = made
    assert first is not None
    assert second is not None
    assert third is not None
    before = {item.publication_id: lakehouse.everything(item) for item in (first, third)}
    for _ in range(2):  # a second pass removes nothing more
        expire(
            storage_settings,
            lakehouse.engine,
            lambda: {first.publication_id, third.publication_id},
            delete_older_than=datetime.now(UTC) + timedelta(hours=1),
        )
    assert [item.publication_id for item in publications.listing(lakehouse.engine)] == [3, 1]
    assert publications.find(lakehouse.engine, second.publication_id) is None
    assert {item.publication_id: lakehouse.everything(item) for item in (first, third)} == before
    with pytest.raises(duckdb.Error):
        lakehouse.everything(second)
    lakehouse.land([engagement_row(9, T0)])
    fourth = lakehouse.publish([T0]).publication
    assert fourth is not None
    assert fourth.changes["silver.events"] == {"added": 1, "removed": 0}
    lakehouse.engine.dispose()


def live_files(engine: sa.Engine, table: str) -> tuple[int, int]:
    """How many files the newest snapshot reads of a table, and how many of those have lost rows."""
    counts = [
        sa.text(
            f"select count(*) from lake_catalog.ducklake_{kind}_file join lake_catalog.ducklake_table as tables using (table_id) "
            f"where ducklake_{kind}_file.end_snapshot is null and tables.table_name = :table"
        )
        for kind in ("data", "delete")
    ]
    with engine.connect() as connection:
        files, with_deletes = (connection.execute(count, {"table": table}).scalar_one() for count in counts)
    return files, with_deletes


@pytest.mark.parametrize("returning", [20, 1], ids=["half of the users come back", "one of forty does"])
def test_files_that_lost_rows_are_merged_as_well(
    storage_settings: StorageSettings, monkeypatch: pytest.MonkeyPatch, returning: int
) -> None:
    # Regression: DuckLake leaves them out of a merge, and an hour that grew every twenty seconds kept two files for each time.
    monkeypatch.setattr("storage.maintenance.MANY_FILES", 2)
    lakehouse = open_lakehouse(storage_settings, checks=False)
    made, offset = [], 0
    for build in range(4):
        users = [f"user {build * 40 - n}" for n in range(1, returning + 1)] + [
            f"user {build * 40 + n}" for n in range(40)
        ]
        lakehouse.land([engagement_row(offset + n, T0, body={"user_id": user}) for n, user in enumerate(users)])
        offset += len(users)
        made.append(lakehouse.publish([T0]).publication)
    before = [lakehouse.everything(item) for item in made]
    assert live_files(lakehouse.engine, "fct_user_hours") == (4, 3)
    kept = {item.publication_id for item in made if item}
    stray = Path(storage_settings.lake_uri) / "gold" / "fct_user_hours" / "stray.parquet"
    young = stray.with_name("young.parquet")
    for path, age in ((stray, timedelta(days=2)), (young, timedelta(hours=2))):
        path.write_bytes(b"left by a writer that died")
        at = (datetime.now(UTC) - age).timestamp()
        os.utime(path, (at, at))
    for _ in range(2):
        expire(
            storage_settings, lakehouse.engine, lambda: kept, delete_older_than=datetime.now(UTC) + timedelta(hours=1)
        )
        assert live_files(lakehouse.engine, "fct_user_hours") == (1, 0)
        assert [lakehouse.everything(item) for item in made] == before
        assert (stray.exists(), young.exists()) == (False, True)
    lakehouse.land([engagement_row(offset, T0, body={"user_id": "user 3"})])
    again = lakehouse.publish([T0]).publication
    assert again is not None
    assert again.changes["gold.fct_user_hours"] == {"added": 1, "removed": 1}
    lakehouse.engine.dispose()


@pytest.mark.feature("S1-F4")
@pytest.mark.parametrize("kind", ["stale_heartbeat", "stalled_stream"])
def test_a_stream_that_is_silent_or_does_not_get_on_raises_one_alert_which_ends_with_it(
    storage_settings: StorageSettings, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("TIDEMARK_STORAGE_DATABASE_URL", storage_settings.database_url)
    warehouse = WarehouseResource()
    long_ago = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
    waits_since = long_ago if kind == "stalled_stream" else None
    beat(warehouse.engine, "land_bronze", {"lag": {"live": 1200, "import": 34}, "waits_since": waits_since})
    beat(warehouse.engine, "download_bridge", {"state": "running"})
    if kind == "stale_heartbeat":
        with warehouse.engine.begin() as connection:
            connection.execute(
                sa.update(heartbeats)
                .where(heartbeats.c.name == "land_bronze")
                .values(beat_at=sa.func.now() - sa.text("interval '10 minutes'"))
            )
    for _ in range(2):
        stream_health_sensor(dg.build_sensor_context(), warehouse=warehouse)
    [alert] = list_open(warehouse.engine)
    assert (alert.kind, alert.subject) == (kind, "land_bronze")
    assert ("1,234 records wait for land_bronze" in alert.message) == (kind == "stalled_stream")
    beat(warehouse.engine, "land_bronze", {"lag": {"live": 3}, "waits_since": datetime.now(UTC).isoformat()})
    stream_health_sensor(dg.build_sensor_context(), warehouse=warehouse)
    assert list_open(warehouse.engine) == []
    warehouse.engine.dispose()


def test_a_stream_that_is_gone_on_purpose_is_forgotten_with_its_alert(
    storage_settings: StorageSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Regression: the alert about a worker that was taken out stayed open for good.
    monkeypatch.setenv("TIDEMARK_STORAGE_DATABASE_URL", storage_settings.database_url)
    warehouse = WarehouseResource()
    migrate(storage_settings)

    def run(*words: str) -> tuple[int, Any]:
        result = CliRunner().invoke(build_app(), ["streams", *words, "--json"])
        return result.exit_code, json.loads(result.stdout)

    beat(warehouse.engine, "hot_store_worker_1", {"state": "running", "lag": {"live": 3}})
    beat(warehouse.engine, "hot_store_worker_2", {})
    with warehouse.engine.begin() as connection:
        connection.execute(
            sa.update(heartbeats)
            .where(heartbeats.c.name == "hot_store_worker_2")
            .values(beat_at=sa.func.now() - sa.text("interval '10 minutes'"))
        )
    stream_health_sensor(dg.build_sensor_context(), warehouse=warehouse)
    assert [alert.subject for alert in list_open(warehouse.engine)] == ["hot_store_worker_2"]
    assert run("forget", "hot_store_worker_1") == (
        1,
        {"name": "hot_store_worker_1", "forgotten": False, "dry_run": False},
    )
    assert run("forget", "nobody", "--dry-run")[0] == 1
    assert run("forget", "hot_store_worker_2", "--dry-run")[0] == 0
    assert [stream["name"] for stream in run("list")[1]] == ["hot_store_worker_1", "hot_store_worker_2"]
    assert run("forget", "hot_store_worker_2")[0] == 0
    assert run("forget", "hot_store_worker_2")[0] == 1, "it is gone"
    stream_health_sensor(dg.build_sensor_context(), warehouse=warehouse)
    assert list_open(warehouse.engine) == []
    assert [stream["name"] for stream in run("list")[1]] == ["hot_store_worker_1"]
    warehouse.engine.dispose()


def test_a_run_without_a_process_is_failed_and_a_living_one_is_left_alone() -> None:
    from uuid import uuid4

    from platform_assets.recovery import fail_dead_runs

    with dg.instance_for_test() as instance:
        runs = {}
        for name, pid in (("living", os.getpid()), ("dead", 2**22 - 1)):
            run = dg.DagsterRun(job_name=name, run_id=str(uuid4()), status=dg.DagsterRunStatus.STARTED)
            instance.add_run(run)
            instance.report_engine_event(
                "Started process for run", run, dg._core.events.EngineEventData.in_process(pid), cls=None
            )
            runs[name] = run.run_id
        assert fail_dead_runs(instance) == [runs["dead"]]
        assert fail_dead_runs(instance) == []
        living = instance.get_run_by_id(runs["living"])
        assert living is not None
        assert living.status == dg.DagsterRunStatus.STARTED
