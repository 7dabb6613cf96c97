"""Scratch replays: a part of bronze apart, and silver and gold built from it into a file to query. Never touches live data.

One folder per name below the builds folder: bronze/ (Delta), result.duckdb (schemas silver and gold) and scratch.json, which is written
last. Kafka as a source is Spark's work (`streaming.replay`); building is `platform_assets.scratch`.
"""

import json
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from storage.bronze_hours import RANGE_CONDITION, range_values
from storage.control.replays import ReplayRange
from storage.difference import count
from storage.duckdb_session import open_session
from storage.lake import create_table
from storage.plan_files import RESULT_NAME
from storage.settings import StorageSettings
from storage.tables import TableSpec

DESCRIPTION_NAME = "scratch.json"
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class ScratchError(Exception):
    """A scratch cannot be made or read; the message says what to do."""


@dataclass(frozen=True)
class Scratch:
    """A finished one. `fingerprint`: source, range, input and code; the same again is the same scratch."""

    name: str
    fingerprint: str
    source: str
    first_hour: str
    end_hour: str
    app_id: str
    event_type: str
    record_count: int
    rows_by_table: dict[str, int]
    code_version: str
    made_at: str


def scratch_folder(settings: StorageSettings, name: str) -> Path:
    """Its folder. Raises ScratchError for a name that is no plain word."""
    if not NAME_PATTERN.fullmatch(name):
        raise ScratchError(f"{name!r} is no name for a scratch: use small letters, digits, - and _, at most 63.")
    return settings.builds_dir / "scratch" / name


def scratch_settings(settings: StorageSettings, folder: Path) -> StorageSettings:
    """The settings of builds in that folder: its bronze, and an empty lake, so that nothing published is read."""
    return settings.model_copy(
        update={
            "bronze_uri": str(folder.resolve() / "bronze"),
            "lake_uri": str(folder.resolve() / "base"),
            "database_url": str(folder.resolve() / "base.ducklake"),
            "builds_dir": folder.resolve(),
        }
    )


def create_empty_base(scratch: StorageSettings, specs: list[TableSpec]) -> int:
    """A lake with empty tables as the base of the builds; its snapshot id."""
    Path(scratch.lake_uri).mkdir(parents=True, exist_ok=True)
    with open_session(scratch, ("ducklake",)) as session:
        session.execute(f"ATTACH 'ducklake:{scratch.database_url}' AS lake (DATA_PATH '{scratch.lake_uri}')")
        for schema in sorted({spec.schema for spec in specs}):
            session.execute(f"create schema if not exists lake.{schema}")
        for spec in specs:
            create_table(session, spec)
        row = session.execute("select max(snapshot_id) from ducklake_snapshots('lake')").fetchone()
    return int(row[0]) if row else 0


def copy_bronze(settings: StorageSettings, version: int, wanted: ReplayRange, target: str) -> int:
    """Copies the range's records into a Delta table at `target`, byte for byte with their stamps; returns how many there are in all.

    Their copies within the deduplication horizon come along, so that a duplicate stays one though its winner lies outside of the range.
    """
    from deltalake import CommitProperties, write_deltalake

    source = f"delta_scan($uri, version => {int(version)})"
    condition = RANGE_CONDITION
    for index in range(len(range_values(wanted))):
        condition = condition.replace("?", f"$r{index}", 1)
    days = settings.deduplication_horizon_days
    values: dict[str, Any] = {"uri": settings.bronze_uri}
    values |= {f"r{index}": value for index, value in enumerate(range_values(wanted))}
    with open_session(settings) as session:
        keys = f"select distinct app_id, event_id from {source} where {condition} and event_id is not null"
        session.execute(f"create temp table wanted_keys as {keys}", values)
        rows = session.sql(
            f"select * from {source} as landed where ({condition}) or (event_date between $r0::date - {days} "
            f"and $r1::date + {days} and exists (select 1 from wanted_keys "
            "where wanted_keys.app_id = landed.app_id and wanted_keys.event_id = landed.event_id))",
            params=values,
        )
        properties = CommitProperties(custom_metadata={"userMetadata": json.dumps({"query": "scratch"})})
        write_deltalake(target, rows, mode="append", partition_by=["event_date"], commit_properties=properties)
        return count(session, f"delta_scan('{target}')")


def count_rows(settings: StorageSettings, result: Path, specs: list[TableSpec]) -> dict[str, int]:
    """Rows of each table of a build file."""
    with open_session(settings, ()) as session:
        session.execute(f"ATTACH '{result}' AS result (READ_ONLY)")
        return {spec.qualified_name: count(session, f"result.{spec.qualified_name}") for spec in specs}


def replace_folder(unfinished: Path, folder: Path) -> None:
    """Puts the finished folder where an older one of its name may be."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    unfinished.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def write_description(folder: Path, scratch: Scratch) -> None:
    """Marks the scratch in this folder as finished."""
    (folder / DESCRIPTION_NAME).write_text(json.dumps(asdict(scratch)))


def find(settings: StorageSettings, name: str) -> Scratch | None:
    """The finished scratch of that name."""
    file = scratch_folder(settings, name) / DESCRIPTION_NAME
    return Scratch(**json.loads(file.read_text())) if file.exists() else None


def listing(settings: StorageSettings) -> list[Scratch]:
    """Finished ones, by name."""
    files = sorted((settings.builds_dir / "scratch").glob(f"[a-z0-9]*/{DESCRIPTION_NAME}"))
    return [Scratch(**json.loads(file.read_text())) for file in files]


def drop(settings: StorageSettings, name: str) -> bool:
    """True when there was one; its files are gone."""
    folder = scratch_folder(settings, name)
    existed = folder.exists()
    shutil.rmtree(folder, ignore_errors=True)
    return existed


def query(settings: StorageSettings, name: str, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of a statement over its tables (silver.…, gold.…, and bronze.events); it can change nothing.

    Raises:
        ScratchError: there is none of that name, or DuckDB refuses the statement.
    """
    import duckdb

    folder = scratch_folder(settings, name)
    if find(settings, name) is None:
        raise ScratchError(f"There is no scratch {name}. See `tidemark scratch list`.")
    with open_session(settings) as session:
        session.execute(f"ATTACH '{folder / RESULT_NAME}' AS result (READ_ONLY)")
        tables = session.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = 'result'"
        ).fetchall()
        for schema in {"bronze", *(schema for schema, _ in tables)}:
            session.execute(f"create schema {schema}")
        for schema, table in tables:
            session.execute(f"create view {schema}.{table} as select * from result.{schema}.{table}")
        session.execute(f"create view bronze.events as select * from delta_scan('{folder / 'bronze'}')")
        try:
            answer = session.execute(sql)
        except duckdb.Error as error:
            raise ScratchError(f"The statement was refused: {error}") from error
        return [column[0] for column in answer.description or []], answer.fetchall()
