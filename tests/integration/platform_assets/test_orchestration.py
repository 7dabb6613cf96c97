"""Dagster over a real lake: widened selections, failing checks, sensors over several ticks with the cursor carried."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.tags import RUN_KEY_TAG

from platform_assets.assets import maintenance
from platform_assets.assets.warehouse import PUBLISHED_TAG
from platform_assets.code_version import read_code_version
from platform_assets.definitions import defs
from platform_assets.resources.definitions import make_resources
from platform_assets.resources.warehouse import WarehouseResource
from platform_assets.sensors.dirty_hours import (
    LANE_TAG,
    bronze_arrivals_sensor,
    late_arrivals_sensor,
    plan_late_windows,
)
from platform_assets.sensors.docs import PATIENCE, RETRY_AFTER, dbt_project_sensor
from storage import publication_state, publications, settlement
from storage.control.hours import list_dirty
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import engagement_row
from tests.fixtures.lakehouse import Lakehouse, open_lakehouse
from tests.fixtures.pool_runs import pool_run

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
OLD = datetime(2026, 1, 5, 10, tzinfo=UTC)


@pytest.fixture
def lakehouse(storage_settings: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lakehouse]:
    for name in ("database_url", "bronze_uri", "lake_uri", "builds_dir", "extensions_dir"):
        monkeypatch.setenv(f"TIDEMARK_STORAGE_{name.upper()}", str(getattr(storage_settings, name)))
    opened = open_lakehouse(storage_settings)
    yield opened
    opened.engine.dispose()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def run_days(
    instance: dg.DagsterInstance, day: str | None, selection: list[dg.AssetKey] | None = None, **config: Any
) -> dg.ExecuteInProcessResult:
    job = defs.resolve_job_def("rebuild_days")
    return job.execute_in_process(
        partition_key=day,
        instance=instance,
        asset_selection=selection,
        run_config={"ops": {"publish_hours": {"config": config}}},
        raise_on_error=False,
    )


def published_tag(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> str:
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return run.tags[PUBLISHED_TAG]


@pytest.mark.feature("K2", "S1-11")
def test_one_asset_of_one_day_is_widened_to_a_publication_of_all(
    lakehouse: Lakehouse, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs_dir = tmp_path / "docs"
    monkeypatch.setenv("TIDEMARK_PLATFORM_DOCS_DIR", str(docs_dir))
    lakehouse.land([engagement_row(0, OLD), engagement_row(1, OLD + HOUR)])
    result = run_days(instance, "2026-01-05", [dg.AssetKey(["gold", "agg_day_events"])])
    assert result.success
    newest = publications.latest(lakehouse.engine)
    assert newest is not None
    assert newest.cause == "replay"
    assert published_tag(instance, result) == "1"
    materialized = {item.asset_key.to_user_string() for item in _materializations(instance, result.run_id)}
    assert {"gold/agg_day_events", "gold/fct_user_hours", "silver/events", "operations/publications"} <= materialized
    docs = dg.materialize([maintenance.dbt_docs], resources=make_resources(), instance=instance)
    assert docs.success
    assert (docs_dir / "catalog.json").exists()
    again = run_days(instance, "2026-01-05")
    assert again.success
    assert publications.latest(lakehouse.engine) == newest
    assert published_tag(instance, again) == "nothing"
    checks = {event.check_name: event.passed for event in again.get_asset_check_evaluations()}
    assert checks
    assert all(checks.values())
    row_counts = {
        materialization.asset_key.to_user_string(): materialization.metadata.get("dagster/row_count")
        for materialization in _materializations(instance, again.run_id)
    }
    assert list(lakehouse.settings.builds_dir.glob("column_metadata_*.json"))
    first, second = (
        {item.asset_key.to_user_string(): item.metadata for item in _materializations(instance, run_id)}
        for run_id in (result.run_id, again.run_id)
    )
    assert (
        "dagster/column_lineage" not in first["gold/agg_day_events"]
    )  # found by the docs run, and attached from then on
    for name, metadata in second.items():
        if name != "operations/publications":
            assert metadata["dagster/column_schema"].value.columns, name
            assert metadata["dagster/column_lineage"].value is not None, name
    assert second["gold/agg_day_events"]["dagster/column_lineage"].value.deps_by_column["event_count"]
    row_count = row_counts["silver/events"]
    assert row_count is not None
    assert row_count.value == 2


def _materializations(instance: dg.DagsterInstance, run_id: str) -> list[dg.AssetMaterialization]:
    records = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    return [
        record.dagster_event.step_materialization_data.materialization for record in records if record.dagster_event
    ]


def test_a_run_over_several_days_names_hours_instead_of_partitions_and_reports_each_day(
    lakehouse: Lakehouse, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    lakehouse.land([engagement_row(0, OLD), engagement_row(1, OLD + 30 * HOUR)])
    hours = [f"{hour:%Y-%m-%dT%H:%M:%SZ}" for hour in (OLD, OLD + 30 * HOUR)]
    result = run_days(instance, None, hours=hours, cause="import")
    assert result.success
    newest = publications.latest(lakehouse.engine)
    assert newest is not None
    assert newest.hours == (OLD, OLD + 30 * HOUR)
    built = {(item.asset_key.to_user_string(), item.partition) for item in _materializations(instance, result.run_id)}
    for table in ("silver/events", "gold/agg_day_events", "operations/publications"):
        assert {day for name, day in built if name == table} == {"2026-01-05", "2026-01-06"}
    assert not run_days(instance, None).success, "without a day and without hours there is nothing to build"


def test_a_failed_check_stops_the_promotion_and_names_itself(
    lakehouse: Lakehouse, instance: dg.DagsterInstance
) -> None:
    """Planted: one Kafka offset twice in bronze, which landing never makes."""
    lakehouse.land([engagement_row(0, OLD - HOUR)])
    warehouse = WarehouseResource()
    tick(bronze_arrivals_sensor, instance, warehouse)
    assert run_days(instance, "2026-01-05", hours=[f"{OLD - HOUR:%Y-%m-%dT%H:%M:%SZ}"]).success
    good = publications.latest(lakehouse.engine)
    lakehouse.land([engagement_row(1, OLD, "x"), engagement_row(1, OLD, "y")])
    tick(bronze_arrivals_sensor, instance, warehouse)
    hours = [f"{OLD:%Y-%m-%dT%H:%M:%SZ}"]
    result = run_days(instance, "2026-01-05", hours=hours)
    assert not result.success
    assert publications.latest(lakehouse.engine) == good
    failure = next(
        event for event in result.all_node_events if event.is_step_failure
    ).step_failure_data.user_failure_data
    assert failure is not None
    assert "check events_rows_are_valid (the key is unique)" in (failure.description or "")
    assert any(label.startswith("sample_rows_") for label in failure.metadata)
    dirty = list_dirty(lakehouse.engine)
    assert [(item.hour, item.attempts) for item in dirty] == [(OLD, 1)]
    assert "blocked by check" in publication_state.read(lakehouse.engine).summary
    lakehouse.land([engagement_row(5, OLD + 2 * HOUR)])
    tick(bronze_arrivals_sensor, instance, warehouse)
    other = run_days(instance, "2026-01-05", hours=[f"{OLD + 2 * HOUR:%Y-%m-%dT%H:%M:%SZ}"])
    assert other.success
    assert [item.hour for item in list_dirty(lakehouse.engine)] == [OLD]


def tick(
    sensor: dg.SensorDefinition, instance: dg.DagsterInstance, warehouse: WarehouseResource, cursor: str | None = None
) -> dg.SensorResult:
    context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=defs)
    result = sensor(context, warehouse=warehouse)
    assert isinstance(result, dg.SensorResult)
    return result


@pytest.mark.feature("K3")
def test_sensors_ask_for_exactly_the_dirty_hours_of_their_lane(
    lakehouse: Lakehouse, instance: dg.DagsterInstance
) -> None:
    warehouse = WarehouseResource()
    empty = tick(bronze_arrivals_sensor, instance, warehouse)
    assert not empty.run_requests
    lakehouse.land(
        [
            engagement_row(0, NOW),
            engagement_row(1, OLD),
            engagement_row(2, OLD + 30 * HOUR),
            engagement_row(3, OLD + 90 * 24 * HOUR),
        ]
    )
    arrivals = tick(bronze_arrivals_sensor, instance, warehouse, empty.cursor)
    assert [request.run_config["ops"]["publish_hours"]["config"] for request in arrivals.run_requests or []] == [
        {"hours": [f"{NOW:%Y-%m-%dT%H:%M:%SZ}"], "cause": "arrival"}
    ]
    assert [event.metadata["dagster/row_count"].value for event in arrivals.asset_events] == [4]
    late = tick(late_arrivals_sensor, instance, warehouse)
    requests = late.run_requests or []
    assert [len(request.run_config["ops"]["publish_hours"]["config"]["hours"]) for request in requests] == [2, 1]
    assert requests[0].tags["tidemark/days"] == "2026-01-05..2026-01-06"
    assert requests[1].partition_key == "2026-04-05"
    again = tick(bronze_arrivals_sensor, instance, warehouse, arrivals.cursor)
    assert not again.asset_events, "an unchanged bronze is observed once"


@pytest.mark.feature("K3", "S1-11")
def test_a_late_day_with_many_records_is_cut_at_its_hours_until_they_only_grow(
    lakehouse: Lakehouse, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Regression: after an outage of a day, or an import of a large one, all its hours were one build.
    monkeypatch.setenv("TIDEMARK_PLATFORM_MAX_ROWS_PER_LATE_RUN", "1000")
    monkeypatch.setenv("TIDEMARK_PLATFORM_MAX_ROWS_PER_BUILD", "1000")
    warehouse, hours = WarehouseResource(), [OLD + index * HOUR for index in range(3)]
    lakehouse.land([engagement_row(index, hours[index % 3]) for index in range(1_800)])

    def asked() -> list[list[str]]:
        requests = tick(late_arrivals_sensor, instance, warehouse).run_requests or []
        return [request.run_config["ops"]["publish_hours"]["config"]["hours"] for request in requests]

    names = [f"{hour:%Y-%m-%dT%H:%M:%SZ}" for hour in hours]
    assert asked() == [[name] for name in names]
    # By hand, and without hours, it is one run with as many builds as that needs: of 0:00 to 10:00, 11:00, and 12:00 to 23:00.
    whole = run_days(instance, "2026-01-05", cause="late")
    assert whole.success
    assert published_tag(instance, whole) == "1,2,3"
    assert asked() == []
    lakehouse.land([engagement_row(1_800 + index, hour) for index, hour in enumerate(hours)])
    assert asked() == [names], "what grows costs what arrived"
    dirty = list_dirty(lakehouse.engine)
    failing = [replace(hour, attempts=5, touched_at=hour.touched_at - index * HOUR) for index, hour in enumerate(dirty)]
    windows = plan_late_windows(warehouse, failing)
    assert [window.hours for window in windows] == [(hour,) for hour in reversed(hours)], "what waits longest is first"


@pytest.mark.feature("K3", "K10")
def test_a_bronze_that_was_restored_has_its_hours_published_again(lakehouse: Lakehouse, tmp_path: Path) -> None:
    # Regression: its versions began again below the cursor, and until they had passed it nothing that arrived was published.
    bronze, copy = Path(lakehouse.settings.bronze_uri), tmp_path / "copy"
    lakehouse.land([engagement_row(0, OLD)])
    shutil.copytree(bronze, copy)
    lakehouse.land([engagement_row(1, OLD)])
    lakehouse.land([engagement_row(2, OLD + HOUR)])
    lakehouse.land([engagement_row(3, OLD + 9 * HOUR)])
    lakehouse.note_arrivals()
    lakehouse.publish([OLD, OLD + HOUR, OLD + 9 * HOUR])
    before = lakehouse.everything()
    assert list_dirty(lakehouse.engine) == []
    lakehouse.land([engagement_row(6, OLD + 9 * HOUR)])
    lakehouse.note_arrivals()

    shutil.rmtree(bronze)
    shutil.copytree(copy, bronze)
    assert not settlement.check(lakehouse.settings, lakehouse.engine, settlement.Target({})).settled
    lakehouse.note_arrivals()
    hours = [item.hour for item in list_dirty(lakehouse.engine)]
    assert hours == [OLD, OLD + 9 * HOUR], "what was dirty stays so, and of the third bronze says nothing yet"
    lakehouse.land([engagement_row(1, OLD), engagement_row(2, OLD + HOUR)])
    lakehouse.note_arrivals()
    hours = [item.hour for item in list_dirty(lakehouse.engine)]
    assert hours == [OLD, OLD + HOUR, OLD + 9 * HOUR]
    outcome = lakehouse.publish(hours[:2])
    assert outcome.publication is None
    assert not outcome.plan.cutoffs, "which rows an older bronze had is not known: they are built whole"
    assert lakehouse.everything() == before
    later = [engagement_row(4 + index, OLD + hours * HOUR, ingested_at=NOW) for index, hours in enumerate((1, 9))]
    lakehouse.land(later)
    lakehouse.note_arrivals()
    assert [item.hour for item in list_dirty(lakehouse.engine)] == [OLD + HOUR, OLD + 9 * HOUR]
    assert list(lakehouse.publish([OLD + HOUR]).plan.cutoffs) == [OLD + HOUR], "and this one grows again"


@pytest.mark.feature("K3", "S1-11")
def test_a_day_before_dagsters_first_partition_is_asked_for_by_its_hours(
    lakehouse: Lakehouse, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Regression: its key failed the tick, and no late or imported hour was ever published again.
    monkeypatch.setenv("TIDEMARK_STORAGE_FIRST_DAY", "2010-01-01")
    lakehouse.land([engagement_row(0, datetime(2010, 5, 1, 10, tzinfo=UTC)), engagement_row(1, OLD)])
    resources = {"warehouse": WarehouseResource()}
    for sensor in (bronze_arrivals_sensor, late_arrivals_sensor):
        context = dg.build_sensor_context(instance=instance, definitions=defs, resources=resources)
        asked = sensor.evaluate_tick(context).run_requests
    assert [(request.partition_key, request.tags.get("tidemark/days")) for request in asked or []] == [
        (None, "2010-05-01..2010-05-01"),
        ("2026-01-05", None),
    ]


@pytest.mark.feature("K3", "S1-11")
def test_a_lane_asks_for_nothing_while_a_replay_has_stood_behind_it_for_too_long(
    lakehouse: Lakehouse, instance: dg.DagsterInstance
) -> None:
    # Regression: under steady traffic the lanes took every turn, and replays and retention did not begin.
    lakehouse.land([engagement_row(0, NOW)])
    instance.add_run(pool_run("publish_dirty_hours", dg.DagsterRunStatus.STARTED, 5))
    waiting = instance.add_run(pool_run("replay_days", dg.DagsterRunStatus.QUEUED, -5))
    assert tick(bronze_arrivals_sensor, instance, WarehouseResource()).run_requests, "it has only come"
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.execute(sa.text("update runs set start_time = :now where status = 'STARTED'"), {"now": time.time()})
        earlier = sa.text("update runs set create_timestamp = datetime('now', '-2 minutes') where status = 'QUEUED'")
        connection.execute(earlier)
    letting = tick(bronze_arrivals_sensor, instance, WarehouseResource())
    assert not letting.run_requests
    assert isinstance(letting.skip_reason, dg.SkipReason)
    assert f"let run {waiting.run_id} go first" in (letting.skip_reason.skip_message or "")


@pytest.mark.feature("K3")
def test_a_lane_waits_for_its_run_to_publish_and_not_for_its_report(
    lakehouse: Lakehouse, instance: dg.DagsterInstance
) -> None:
    lakehouse.land([engagement_row(0, NOW)])
    run = instance.add_run(
        dg.DagsterRun(
            job_name="publish_dirty_hours",
            run_id=str(uuid4()),
            status=dg.DagsterRunStatus.STARTED,
            tags={LANE_TAG: "arrivals"},
        )
    )
    waiting = tick(bronze_arrivals_sensor, instance, WarehouseResource())
    assert not waiting.run_requests
    assert isinstance(waiting.skip_reason, dg.SkipReason)
    assert "wait for run" in (waiting.skip_reason.skip_message or "")
    instance.add_run_tags(run.run_id, {PUBLISHED_TAG: "1"})
    assert len(tick(bronze_arrivals_sensor, instance, WarehouseResource()).run_requests or []) == 1


def test_docs_wait_for_older_hours_but_not_for_ever_and_are_asked_for_once(
    lakehouse: Lakehouse, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_PLATFORM_DOCS_DIR", str(tmp_path / "docs"))
    warehouse = WarehouseResource()
    assert not tick(dbt_project_sensor, instance, warehouse).run_requests  # there is no build
    (lakehouse.settings.builds_dir / "one").mkdir(parents=True)
    (lakehouse.settings.builds_dir / "one" / "build.duckdb").touch()
    lakehouse.land([engagement_row(0, OLD)])
    tick(bronze_arrivals_sensor, instance, warehouse)

    waiting = tick(dbt_project_sensor, instance, warehouse)
    still_waiting = tick(dbt_project_sensor, instance, warehouse, waiting.cursor)
    assert waiting.cursor
    assert not waiting.run_requests
    assert not still_waiting.run_requests
    assert still_waiting.cursor == waiting.cursor

    version, since = waiting.cursor.split(" ")
    long_ago = (datetime.fromisoformat(since) - PATIENCE).isoformat()
    assert not tick(dbt_project_sensor, instance, warehouse, f"another {long_ago}").run_requests
    asked = tick(dbt_project_sensor, instance, warehouse, f"{version} {long_ago}")
    assert asked.run_requests
    assert len(asked.run_requests) == 1

    unfinished = dg.DagsterRun("docs", run_id=str(uuid4()), tags={LANE_TAG: "docs"}, status=dg.DagsterRunStatus.STARTED)
    instance.add_run(unfinished)
    assert not tick(dbt_project_sensor, instance, warehouse, asked.cursor).run_requests


@pytest.mark.parametrize(
    ("failed_version", "ago", "is_asked"),
    [
        ("this", RETRY_AFTER - timedelta(seconds=30), False),
        ("this", RETRY_AFTER + timedelta(seconds=30), True),
        ("another", timedelta(), True),
    ],
)
def test_docs_that_failed_are_asked_for_again_some_minutes_later_or_by_other_code(
    lakehouse: Lakehouse,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failed_version: str,
    ago: timedelta,
    is_asked: bool,
) -> None:
    monkeypatch.setenv("TIDEMARK_PLATFORM_DOCS_DIR", str(tmp_path / "docs"))
    (lakehouse.settings.builds_dir / "one").mkdir(parents=True)
    (lakehouse.settings.builds_dir / "one" / "build.duckdb").touch()
    version = read_code_version() if failed_version == "this" else failed_version
    tags = {LANE_TAG: "docs", RUN_KEY_TAG: f"{version}:zero"}
    instance.add_run(dg.DagsterRun("docs", run_id=(run_id := str(uuid4())), tags=tags))
    failed = dg.DagsterEvent(dg.DagsterEventType.RUN_FAILURE.value, "docs", message="planted")
    instance.run_storage.handle_run_event(run_id, failed, datetime.now(UTC) - ago)
    assert bool(tick(dbt_project_sensor, instance, WarehouseResource()).run_requests) == is_asked
