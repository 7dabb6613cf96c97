"""Column metadata is kept once per code version, whole or not at all."""

import os
from pathlib import Path
from unittest import mock

import dagster as dg
import duckdb
import pytest
from dagster_dbt.core import dbt_cli_event
from sqlglot.expressions import Table
from sqlglot.schema import MappingSchema

from platform_assets.column_metadata import ColumnMetadataFile, _each_statement_once, count_rows, find_columns

EVENTS, HOURS = dg.AssetKey(["silver", "events"]), dg.AssetKey(["gold", "agg_hour_events"])
SCHEMA = MappingSchema({"events": {"event_id": "text", "user_id": "text", "event_type": "text"}}, dialect="duckdb")


def materialization(key: dg.AssetKey, *, with_lineage: bool = True) -> dg.AssetMaterialization:
    schema = dg.TableSchema(columns=[dg.TableColumn("event_count", "bigint")])
    lineage = dg.TableColumnLineage({"event_count": [dg.TableColumnDep(EVENTS, "event_id")]})
    metadata = {"dagster/column_schema": schema} | ({"dagster/column_lineage": lineage} if with_lineage else {})
    return dg.AssetMaterialization(key, metadata=metadata)


def test_what_was_written_is_read_back_by_a_later_run_of_the_same_code_only(tmp_path: Path) -> None:
    events = [materialization(EVENTS), materialization(HOURS)]
    for _ in range(2):
        written = ColumnMetadataFile(tmp_path, "v1").write([*events, "not a materialisation"])
    assert ColumnMetadataFile(tmp_path, "v1").read() == written
    assert written[HOURS] == dict(events[1].metadata)
    assert ColumnMetadataFile(tmp_path, "v2").read() is None
    assert [path.name for path in tmp_path.iterdir()] == ["column_metadata_v1.json"]


def test_nothing_is_kept_when_a_table_lacks_its_lineage(tmp_path: Path) -> None:
    found = ColumnMetadataFile(tmp_path, "v1").write([materialization(EVENTS, with_lineage=False)])
    assert list(found[EVENTS]) == ["dagster/column_schema"]
    assert ColumnMetadataFile(tmp_path, "v1").read() is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"silver/events": {"dagster/column_schema": "[]"}}',
        '{"silver/events": {"dagster/column_schema": "{\\"__class__\\": \\"OfAnotherVersion\\"}"}}',
    ],
)
def test_a_file_that_cannot_be_read_counts_as_none(text: str, tmp_path: Path) -> None:
    """Describing comes after the promotion: it may not fail a run whose numbers are published."""
    (tmp_path / "column_metadata_v1.json").write_text(text)
    assert ColumnMetadataFile(tmp_path, "v1").read() is None


def test_rows_of_each_table_are_counted(tmp_path: Path) -> None:
    build_file = tmp_path / "build.duckdb"
    with duckdb.connect(str(build_file)) as build:
        build.execute("create schema silver; create table silver.events as select unnest([1, 2, 3]) as event_id")
    assert count_rows(build_file, [EVENTS]) == {EVENTS: 3}


def test_a_view_of_the_lake_is_not_counted(tmp_path: Path) -> None:
    build_file = tmp_path / "build.duckdb"
    with duckdb.connect(str(build_file)) as build:
        build.execute(
            "attach ':memory:' as lake; create schema lake.gold; create table lake.gold.published (n integer)"
        )
        build.execute("create schema gold; create view gold.agg_hour_events as select * from lake.gold.published")
    assert count_rows(build_file, [HOURS]) == {}


def test_finding_columns_leaves_the_process_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wandering:
        def __init__(self, *_: object) -> None:
            """Takes what the real one takes."""

        def fetch_column_metadata(self) -> list[object]:
            os.chdir(tmp_path)  # as the real one's threads do when they overtake each other
            return []

    monkeypatch.setattr("platform_assets.column_metadata.DbtEventIterator", Wandering)
    before = Path.cwd()
    assert find_columns(mock.Mock(), [], mock.Mock(manifest={"nodes": {}})) == []
    assert Path.cwd() == before


STATEMENT = """
with landed as (select event_id, user_id, event_type from events where event_type <> 'x'),
     counted as (select user_id, count(distinct event_id) as event_count, max(event_type) as newest from landed group by user_id)
select user_id, event_count, coalesce(newest, user_id) as label, 1 as one from counted
"""


def leaves(column: str) -> set[str]:
    found = dbt_cli_event.lineage(column, STATEMENT, schema=SCHEMA, dialect="duckdb").walk()
    return {node.name for node in found if not node.downstream and node.expression.find(Table)}


def test_a_statement_that_is_looked_at_once_says_of_every_column_what_it_says_of_each() -> None:
    columns = ("user_id", "event_count", "label", "one")
    with _each_statement_once():
        once = [leaves(column) for column in columns]
        with pytest.raises(KeyError):
            leaves("unknown")
    assert once == [leaves(column) for column in columns]  # as the library asks by itself
    assert once[1:] == [{"events.event_id"}, {"events.event_type", "events.user_id"}, set()]


def test_a_statement_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    as_before = dbt_cli_event.lineage
    monkeypatch.setattr(
        dbt_cli_event,
        "lineage",
        lambda column, *rest, **options: (asked.append(column), as_before(column, *rest, **options))[1],
    )
    with _each_statement_once():
        assert leaves("user_id")
        assert leaves("label")
    assert asked == [None]
