"""A lake with published user hours, a bronze that takes every branch, and builds of it."""

import json
import os
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pytest

from local_stack.postgres import create_database
from storage.lake import create_missing_tables, open_lake
from storage.settings import StorageSettings
from tests.fixtures import bodies
from tests.fixtures.bronze_rows import BronzeRow, engagement_row, write_bronze
from tests.integration.dbt_project import avro_bodies, world

PROJECT_DIR = Path(__file__).parents[3] / "dbt_project"


@dataclass(frozen=True)
class Inputs:
    """What builds read: a lake at a snapshot and a bronze at a version. `home` is the folder of everything."""

    home: Path
    settings: StorageSettings
    snapshot: int
    bronze_version: int

    @property
    def target_dir(self) -> Path:
        """dbt's own folder: apart from the checkout's, whose manifest other processes read."""
        return self.home / "target"

    def environment(self, build_file: Path, **changes: str) -> dict[str, str]:
        """The environment of a build into this file."""
        return {
            "DBT_TARGET_PATH": str(self.target_dir),
            "DBT_LOG_PATH": str(self.home / "logs"),
            "TIDEMARK_BUILD_FILE": str(build_file),
            "TIDEMARK_BUILD_CATALOG": self.settings.database_url,
            "TIDEMARK_BUILD_LAKE_URI": self.settings.lake_uri,
            "TIDEMARK_BUILD_SNAPSHOT": str(self.snapshot),
            "TIDEMARK_BUILD_BRONZE_URI": self.settings.bronze_uri,
            "TIDEMARK_BUILD_BRONZE_VERSION": str(self.bronze_version),
            "TIDEMARK_BUILD_EXTENSIONS_DIR": str(self.settings.extensions_dir),
            "TIDEMARK_BUILD_AVRO_SCHEMAS": str(self.home / "avro_schemas.json"),
            **changes,
        }


@dataclass(frozen=True)
class Build:
    """A finished dbt command, its messages and its build file."""

    file: Path
    success: bool
    output: str

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The answer of the build file."""
        with duckdb.connect(str(self.file), read_only=True) as connection:
            connection.execute("SET TimeZone='UTC'")
            return connection.execute(query).fetchall()


def run_dbt(inputs: Inputs, name: str, *arguments: str, **changes: str) -> Build:
    """Calls dbt in the project's folder, into `home/name/build.duckdb`. Never raises: success is the caller's to judge.

    In this process: a process of its own takes seconds to import dbt, each time.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.adapters.factory import reset_adapters
    from dbt.cli.main import dbtRunner

    file = inputs.home / name / "build.duckdb"
    messages: list[str] = []
    runner = dbtRunner(callbacks=[lambda event: messages.append(event.info.msg)])
    with pytest.MonkeyPatch.context() as patch, chdir(PROJECT_DIR):
        for variable in [variable for variable in os.environ if variable.startswith(("TIDEMARK_", "DBT_"))]:
            patch.delenv(variable)
        for variable, value in inputs.environment(file, **changes).items():
            patch.setenv(variable, value)
        try:
            result = runner.invoke(["--quiet", "--warn-error", *arguments])
        finally:
            # The adapter keeps its connection for the life of a process, which here outlives one build.
            DuckDBConnectionManager.close_all_connections()
            DuckDBConnectionManager._ENV = None
            reset_adapters()
    return Build(file, result.success, "\n".join(messages))


def build_arguments(window: tuple[str, str] = world.WINDOW) -> list[str]:
    """The production command for a window."""
    return [
        "build",
        "--event-time-start",
        window[0],
        "--event-time-end",
        window[1],
        "--exclude-resource-type",
        "unit_test",
    ]


def contract_rows() -> list[BronzeRow]:
    """Every body of `bodies` as a record of 12:00, its number as offset, stamped as whoever sent it would stamp it."""
    cases = [*bodies.ONE_FLAW_OR_NONE, *bodies.mutations(400, seed=3)]
    return [
        *_body_rows(cases, "contracts"),
        *_body_rows([("download/1", value) for value in avro_bodies.CASES], "avro"),
    ]


def _body_rows(cases: list[tuple[str, bytes]], app_id: str) -> list[BronzeRow]:
    return [
        BronzeRow(
            kafka_offset=number,
            value=value,
            occurred_at=world.at("12:40"),
            event_id=f"body-{number}",
            event_type="download" if app_id == "avro" else bodies.stamped_type(value),
            contract=contract,
            app_id=app_id,
            kafka_partition=4 if app_id == "avro" else 3,
        )
        for number, (contract, value) in enumerate(cases)
    ]


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory, extensions_dir: Path, postgres_url: str) -> Inputs:
    """The lake's tables as the contracts say, user hours published, bronze in two commits."""
    home = tmp_path_factory.mktemp("dbt_builds")
    settings = StorageSettings(
        database_url=create_database(postgres_url, f"dbt_{uuid4().hex}"),
        bronze_uri=str(home / "bronze"),
        lake_uri=str(home / "lake"),
        builds_dir=home,
        extensions_dir=extensions_dir,
    )
    avro_bodies.write_schemas(home / "avro_schemas.json")
    first = Inputs(home, settings, 0, 0)
    parsed = run_dbt(first, "parse", "parse")
    assert parsed.success, parsed.output
    create_missing_tables(settings, first.target_dir / "manifest.json")
    with open_lake(settings, read_only=False) as lake:
        marks = ", ".join("?" for _ in world.PUBLISHED_USER_HOURS[0])
        lake.executemany(f"insert into lake.gold.fct_user_hours values ({marks})", world.PUBLISHED_USER_HOURS)
        snapshot = lake.execute("select max(snapshot_id) from ducklake_snapshots('lake')").fetchall()[0][0]
    write_bronze(settings.bronze_uri, [*world.OUTSIDE, *world.EVENTS, *contract_rows()])
    version = write_bronze(settings.bronze_uri, [*world.COPIES, *world.REJECTED])
    write_bronze(settings.bronze_uri, [engagement_row(99, world.at("10:00"), "after-the-pinned-version")])
    return Inputs(home, settings, snapshot, version)


@pytest.fixture(scope="session")
def built(inputs: Inputs) -> Build:
    """The two hours of `world.BUILT_HOURS`, built once for all tests that only look."""

    build = run_dbt(inputs, "built", *build_arguments(), TIDEMARK_BUILD_HOURS=json.dumps(world.BUILT_HOURS))
    assert build.success, build.output
    return build
