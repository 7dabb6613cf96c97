"""dbt as a person or a run calls it: windows, refusals, failed checks, documentation, and no second parse."""

import json
import shutil
from pathlib import Path

import duckdb
import pytest

from storage.lake import open_lake
from tests.integration.dbt_project import world
from tests.integration.dbt_project.conftest import Build, Inputs, build_arguments, run_dbt

pytestmark = pytest.mark.integration
TABLES = (
    "silver.events",
    "silver.duplicates",
    "silver.quarantine",
    "silver.experiment_exposures",
    "gold.fct_user_hours",
    "gold.agg_5min_events",
    "gold.agg_hour_events",
    "gold.agg_day_events",
    "gold.agg_hour_download_errors",
)


def test_a_second_build_gives_the_same_tables_without_parsing_again(inputs: Inputs, built: Build) -> None:
    copied = inputs.home / "again" / "build.duckdb"
    copied.parent.mkdir()
    shutil.copy(built.file, copied)
    changes = {
        "TIDEMARK_BUILD_HOURS": json.dumps(world.BUILT_HOURS[::-1]),
        "TIDEMARK_BUILD_MEMORY_LIMIT": "512MB",
        "TIDEMARK_BUILD_DUCKDB_THREADS": "1",
    }
    again = run_dbt(inputs, "again", *build_arguments(), **changes)

    assert again.success, again.output
    assert "no changes found, skipping parsing" in again.output
    for table in TABLES:
        assert again.rows(f"from {table} order by all") == built.rows(f"from {table} order by all"), table


def test_without_a_list_every_hour_of_the_window_is_built(inputs: Inputs) -> None:
    build = run_dbt(inputs, "window", *build_arguments(("2026-01-01T11:00:00", "2026-01-01T13:00:00")))

    assert build.success, build.output
    hours = {f"{hour:%H}" for (hour,) in build.rows("select distinct event_hour from silver.events")}
    assert hours == {"11", "12"}


def test_a_window_without_records_builds_empty_tables(inputs: Inputs) -> None:
    build = run_dbt(inputs, "empty", *build_arguments(("2026-02-01T00:00:00", "2026-02-02T00:00:00")))

    assert build.success, build.output
    assert all(build.rows(f"select count(*) from {table}") == [(0,)] for table in TABLES)


def test_a_table_that_is_not_published_yet_is_read_as_an_empty_one(inputs: Inputs) -> None:
    build = run_dbt(inputs, "first", *build_arguments(), TIDEMARK_BUILD_SNAPSHOT="0")

    assert build.success, build.output
    users = build.rows("select count(distinct user_id) from gold.fct_user_hours where event_date = '2026-01-01'")
    assert build.rows("select count(distinct user_id) from staging.int_user_hours") == users


def test_building_leaves_the_lake_as_it_was(inputs: Inputs, built: Build) -> None:
    del built
    with open_lake(inputs.settings) as lake:
        newest = lake.execute("select max(snapshot_id) from ducklake_snapshots('lake')").fetchall()

    assert newest == [(inputs.snapshot,)]


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (["build"], {}, "A build covers a window of hours"),
        (build_arguments(("2026-01-01T10:30:00", "2026-01-01T12:00:00")), {}, "does not begin and end on full hours"),
        (build_arguments(), {"TIDEMARK_BUILD_HOURS": '["2026-01-01T13:00:00Z"]'}, "outside of the window"),
        (build_arguments(), {"TIDEMARK_BUILD_CATALOG": ""}, "the lake is not attached"),
        (build_arguments(), {"TIDEMARK_BUILD_SNAPSHOT": "999999"}, "No snapshot found at version 999999"),
    ],
)
def test_a_build_that_cannot_be_meant_is_refused_with_the_reason(
    inputs: Inputs, arguments: list[str], changes: dict[str, str], message: str
) -> None:
    refused = run_dbt(inputs, "refused", *arguments, **changes)

    assert not refused.success
    assert message in refused.output
    assert "Traceback" not in refused.output


def test_a_failed_check_is_named_and_its_rows_stay_in_the_build_file(inputs: Inputs) -> None:
    # A published hour with a user but no event: the day then has more users than events.
    with open_lake(inputs.settings, read_only=False) as lake:
        lake.execute(
            "insert into lake.gold.fct_user_hours values "
            "('public', 'engagement', 'ghost', 'web', 'share', '2026-01-01', '2026-01-01 01:00:00+00', 0)"
        )
        planted = lake.execute("select max(snapshot_id) from ducklake_snapshots('lake')").fetchall()[0][0]
        lake.execute("delete from lake.gold.fct_user_hours where user_id = 'ghost'")

    build = run_dbt(inputs, "failing", *build_arguments(), TIDEMARK_BUILD_SNAPSHOT=str(planted))

    assert not build.success
    assert "agg_day_events_rows_are_valid" in build.output
    samples = build.rows(
        "select rule, event_type, event_count, unique_users from failed_checks.agg_day_events_rows_are_valid"
    )
    assert samples == [("no more users than events", "share", 0, 1)]


@pytest.mark.parametrize(
    ("model", "change", "rules"),
    [
        ("gold/agg_day_events", "insert into {table} select * from {table} limit 1", ["the key is unique"]),
        ("gold/agg_day_events", "update {table} set window_end = null", ["window_end is filled"]),
        ("gold/agg_day_events", "update {table} set unique_users = 0", ["no more users than events"]),
        ("silver/quarantine", "update {table} set stage = 'space'", ["stage is known"]),
        ("silver/quarantine", "update {table} set stage = 'space', reason = null", ["reason is filled"]),
    ],
)
def test_a_row_that_breaks_a_rule_is_found_with_the_first_that_it_breaks(
    inputs: Inputs, built: Build, tmp_path: Path, model: str, change: str, rules: list[str]
) -> None:
    check = f"{Path(model).name}_rows_are_valid"
    compiled = inputs.target_dir / "compiled" / "tidemark" / "models" / f"{model}.yml" / f"{check}.sql"
    shutil.copy(built.file, tmp_path / "build.duckdb")
    with duckdb.connect(str(tmp_path / "build.duckdb")) as connection:
        broken = f"select distinct rule from ({compiled.read_text()})"
        assert connection.execute(broken).fetchall() == []
        connection.execute(change.format(table=model.replace("/", ".")))
        assert connection.execute(broken).fetchall() == [(rule,) for rule in rules]


@pytest.mark.feature("K5")
def test_documentation_has_every_column_of_the_build_described(inputs: Inputs, built: Build) -> None:
    docs = run_dbt(inputs, built.file.parent.name, "docs", "generate")

    assert docs.success, docs.output
    catalog = json.loads((inputs.target_dir / "catalog.json").read_text())
    manifest = json.loads((inputs.target_dir / "manifest.json").read_text())
    declared = {
        unique_id: {name for name, column in node["columns"].items() if column["description"]}
        for unique_id, node in {**manifest["nodes"], **manifest["sources"]}.items()
        if node["resource_type"] in ("model", "source")
    }
    found = {**catalog["nodes"], **catalog["sources"]}
    assert {unique_id: set(found[unique_id]["columns"]) for unique_id in declared} == declared


def test_freshness_of_bronze_is_measured(inputs: Inputs, built: Build) -> None:
    run_dbt(inputs, built.file.parent.name, "source", "freshness")

    results = json.loads((inputs.target_dir / "sources.json").read_text())["results"]
    assert [(result["unique_id"], result["status"]) for result in results] == [
        ("source.tidemark.bronze.events", "error")
    ]
    assert results[0]["max_loaded_at"].startswith("2026-01-04T12:00:02")
