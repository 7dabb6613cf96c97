"""Build apart, check, promote: the engine of every run. It knows dbt only as a callable and Dagster not at all.

A run never writes to published tables while it works. dbt builds into a private file and tests it; what passes is promoted as a
difference. When another publication came first, the build is made again on the new base, this time holding the writer's lock. Hours
that only have new arrivals grow (`platform_assets.growth`).
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from platform_assets.avro_schemas import pinned_schemas
from platform_assets.growth import find_cutoffs, rules_version
from platform_assets.windows import HOUR_FORMAT, Window
from runtime.crash_points import CrashPoint, reach
from storage.control.hours import mark_published
from storage.publications import Base, Publication, current_base
from storage.settings import StorageSettings
from storage.tables import TableSpec

if TYPE_CHECKING:
    from storage.comparison import DayDifference


@dataclass(frozen=True)
class BuildPlan:
    """Everything a build depends on: the window, the base it reads, the bronze version it is pinned to, the file it writes.

    `cutoffs`: of these hours the records stamped up to then are published, and the build adds later ones; other hours are whole.
    `rules_version` names what decides its rows besides bronze, None where nobody asks.
    """

    window: Window
    base: Base
    bronze_version: int
    build_file: Path
    run_id: str
    cutoffs: Mapping[datetime, datetime] = field(default_factory=dict)
    rules_version: str | None = None

    @property
    def avro_schemas_file(self) -> Path:
        """The schemas that this build reads Avro bodies with, kept beside it."""
        return self.build_file.with_name("avro_schemas.json")

    def environment(self, settings: StorageSettings) -> dict[str, str]:
        """What the dbt plugin reads: these belong to one run, so they may not stand in the profile (a changed profile re-parses)."""
        return {
            "TIDEMARK_BUILD_FILE": str(self.build_file.resolve()),
            "TIDEMARK_BUILD_CATALOG": settings.database_url,
            "TIDEMARK_BUILD_LAKE_URI": _absolute(settings.lake_uri),
            "TIDEMARK_BUILD_SNAPSHOT": str(self.base.snapshot_id),
            "TIDEMARK_BUILD_BRONZE_URI": _absolute(settings.bronze_uri),
            "TIDEMARK_BUILD_BRONZE_VERSION": str(self.bronze_version),
            "TIDEMARK_BUILD_EXTENSIONS_DIR": _absolute(str(settings.extensions_dir)),
            "TIDEMARK_BUILD_AVRO_SCHEMAS": str(self.avro_schemas_file.resolve()),
            "TIDEMARK_BUILD_HOURS": json.dumps([f"{hour:{HOUR_FORMAT}}" for hour in self.window.hours]),
            "TIDEMARK_BUILD_CUTOFFS": json.dumps(
                {f"{hour:{HOUR_FORMAT}}": stamp.isoformat() for hour, stamp in self.cutoffs.items()}
            ),
            **({"AWS_REGION": settings.aws_region} if settings.aws_region else {}),
            **({"AWS_PROFILE": settings.aws_profile} if settings.aws_profile else {}),
        }

    def dbt_arguments(self) -> list[str]:
        """`dbt build` for the window. Without unit tests, which belong to `make test`, and without a debug log (decision 40)."""
        return [
            "--log-level-file",
            "none",
            "build",
            "--event-time-start",
            f"{self.window.start:%Y-%m-%dT%H:%M:%S}",
            "--event-time-end",
            f"{self.window.end:%Y-%m-%dT%H:%M:%S}",
            "--exclude-resource-type",
            "unit_test",
        ]


@dataclass(frozen=True)
class Outcome:
    """What a window's build led to. `publication` is None when the build equals what is published."""

    plan: BuildPlan
    publication: Publication | None
    events: list[Any]


Invoke = Callable[[BuildPlan], list[Any]]


def _absolute(uri: str) -> str:
    return uri if "://" in uri else str(Path(uri).resolve())


class Builder:
    """Builds and publishes windows. `invoke_dbt` builds one plan, raises when a model or check fails, and returns its events."""

    def __init__(
        self,
        settings: StorageSettings,
        engine: Engine,
        specs: Sequence[TableSpec],
        invoke_dbt: Invoke,
        *,
        code_version: str,
        kept_builds: int = 5,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._specs = specs
        self._invoke_dbt = invoke_dbt
        self._code_version = code_version
        self._kept_builds = kept_builds

    def publish(self, window: Window, *, cause: str, run_id: str, whole: bool = False) -> Outcome:
        """Builds the window, and publishes it if anything in it differs. Running it twice publishes once.

        Its hours grow where that is known to be right (`platform_assets.growth`); with `whole` none does.
        """
        from storage.promotion import StaleBaseError, writer_lock

        grows_by = None if whole else cause
        plan = self.plan(window, run_id, grows_by=grows_by)
        events = self._build(plan)
        reach(CrashPoint.RUN_BUILT)
        try:
            with writer_lock(self._engine):
                publication = self._promote(plan, cause)
        except StaleBaseError:
            # Holding the lock while building is slow for others but ends: nobody can come between again.
            with writer_lock(self._engine):
                plan = self.plan(window, run_id, attempt=2, grows_by=grows_by)
                events = self._build(plan)
                publication = self._promote(plan, cause)
        mark_published(self._engine, window.hours, plan.bronze_version, run_id, plan.rules_version)
        reach(CrashPoint.RUN_MARKED)
        remove_old_builds(self._settings.builds_dir, self._kept_builds)
        return Outcome(plan, publication, events)

    def compare(self, window: Window, *, run_id: str) -> "list[DayDifference]":
        """What publishing the window would change, by table and day. Publishes nothing."""
        from storage.comparison import compare

        plan = self.plan(window, run_id)
        self._build(plan)
        return compare(self._settings, self._specs, plan.build_file, window.hours, plan.base.snapshot_id)

    def plan(self, window: Window, run_id: str, attempt: int = 1, grows_by: str | None = None) -> BuildPlan:
        """Pins the newest base and bronze version for a build of the window. `grows_by`: the cause by which its hours may grow."""
        from storage.bronze import latest_version

        # The base first: bronze only grows, so the version is never older than what the base has read.
        base = current_base(self._engine)
        version = latest_version(self._settings)
        if version is None:
            raise NothingLandedError(
                f"There is no bronze table at {self._settings.bronze_uri} yet. Send an event, and see `tidemark status`."
            )
        name = f"{run_id}-{window.start:%Y%m%dT%H}-{attempt}"
        build_file = self._settings.builds_dir / name / "build.duckdb"
        rules = rules_version(self._code_version, self._settings, pinned_schemas(self._engine))
        cutoffs = find_cutoffs(self._settings, self._engine, window, grows_by, rules) if grows_by else {}
        return BuildPlan(window, base, version, build_file, run_id, cutoffs, rules)

    def _build(self, plan: BuildPlan) -> list[Any]:
        prepare_folder(plan, self._engine)
        return self._invoke_dbt(plan)

    def _promote(self, plan: BuildPlan, cause: str) -> Publication | None:
        from storage.promotion import promote

        return promote(self._settings, self._engine, self._specs, self._candidate(plan, cause))

    def _candidate(self, plan: BuildPlan, cause: str) -> Any:
        from storage.bronze import highest_offsets
        from storage.promotion import Candidate

        return Candidate(
            build_file=plan.build_file,
            hours=plan.window.hours,
            base_publication_id=plan.base.publication_id,
            cause=cause,
            run_id=plan.run_id,
            bronze_version=plan.bronze_version,
            highest_offsets=highest_offsets(self._settings, plan.bronze_version),
            code_version=self._code_version,
            grown_hours=tuple(plan.cutoffs),
        )


def prepare_folder(plan: BuildPlan, engine: Engine) -> None:
    """An empty folder for the build, with the schemas that it reads Avro bodies with."""
    shutil.rmtree(plan.build_file.parent, ignore_errors=True)
    plan.build_file.parent.mkdir(parents=True)
    plan.avro_schemas_file.write_text(pinned_schemas(engine), encoding="utf-8")


class NothingLandedError(Exception):
    """There is no bronze table to build from."""


def newest_build(builds_dir: Path) -> Path | None:
    """The newest kept build file, which serves the dbt docs."""
    return next(iter(_newest_first(builds_dir)), None)


def copy_newest_build(builds_dir: Path, target: Path) -> Path | None:
    """Copies the newest build that nobody writes to any more, with its Avro schemas, into the folder, in place of what it holds.

    None where there is no such build.
    """
    import duckdb

    for build_file in _newest_first(builds_dir):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        try:
            # Refused while a build writes to it. No file is written to a second time.
            duckdb.connect(str(build_file), read_only=True).close()
            for file in build_file.parent.glob("*.*"):
                if file.is_file():
                    shutil.copy2(file, target)
        except (duckdb.IOException, FileNotFoundError):
            continue
        return target / build_file.name
    return None


def _newest_first(builds_dir: Path) -> list[Path]:
    return sorted(builds_dir.glob("*/build.duckdb"), key=lambda path: path.stat().st_mtime, reverse=True)


def remove_old_builds(builds_dir: Path, kept: int) -> list[Path]:
    """Removes all but the newest `kept` build folders; returns what it removed."""
    folders = sorted((path.parent for path in builds_dir.glob("*/build.duckdb")), key=lambda path: path.stat().st_mtime)
    removed = folders[:-kept] if kept else folders
    for folder in removed:
        shutil.rmtree(folder, ignore_errors=True)
    return removed
