"""Builds a range of hours apart, window by window, into one file that is kept. Knows dbt only as a callable, and publishes nothing."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from platform_assets.build import BuildPlan, Invoke, prepare_folder
from platform_assets.windows import Window
from storage.publications import Base
from storage.settings import StorageSettings
from storage.tables import TableSpec

Progress = Callable[[str], None]


@dataclass(frozen=True)
class RangeInputs:
    """What every window of the range is built from: one base and one bronze version."""

    base: Base
    bronze_version: int
    run_id: str


def build_range(
    settings: StorageSettings,
    engine: Engine,
    specs: Sequence[TableSpec],
    invoke_dbt: Invoke,
    windows: Sequence[Window],
    inputs: RangeInputs,
    result: Path,
    progress: Progress = lambda _: None,
) -> None:
    """Makes `result`: a DuckDB file with the published tables' rows of all windows. A day lies in one window, so that none meets another.

    An unfinished file of an earlier attempt is replaced. What `invoke_dbt` raises comes through; then there is no file.
    """
    result.unlink(missing_ok=True)
    unfinished = result.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    for index, window in enumerate(windows):
        progress(f"window {index + 1} of {len(windows)}: {window.days[0]} to {window.days[-1]}")
        build_file = result.parent / "window" / "build.duckdb"
        plan = BuildPlan(window, inputs.base, inputs.bronze_version, build_file, inputs.run_id)
        prepare_folder(plan, engine)
        invoke_dbt(plan)
        _take_over(settings, specs, build_file, unfinished)
        shutil.rmtree(build_file.parent, ignore_errors=True)
    unfinished.rename(result)


def _take_over(settings: StorageSettings, specs: Sequence[TableSpec], build_file: Path, result: Path) -> None:
    from storage.duckdb_session import open_session

    with open_session(settings, ()) as session:
        session.execute(f"ATTACH '{build_file}' AS build (READ_ONLY)")
        session.execute(f"ATTACH '{result}' AS result")
        for schema in sorted({spec.schema for spec in specs}):
            session.execute(f"create schema if not exists result.{schema}")
        for spec in specs:
            columns = ", ".join(f'"{name}" {kind}' for name, kind in spec.columns)
            session.execute(f"create table if not exists result.{spec.qualified_name} ({columns})")
            session.execute(
                f"insert into result.{spec.qualified_name} select {spec.column_list} from build.{spec.qualified_name}"
            )
