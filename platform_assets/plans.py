"""Makes plans: builds a range apart, compares it with what is published, and keeps both. Applying one: `storage.plan_application`."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine

from platform_assets.build import Invoke, NothingLandedError
from platform_assets.range_build import Progress, RangeInputs, build_range
from platform_assets.replay import cut_days
from storage.control import plans
from storage.control.plans import Plan
from storage.control.replays import PlannedDay
from storage.plan_files import drop_plan, hash_file, plan_folder, result_file
from storage.publications import compress_hours, current_base
from storage.settings import StorageSettings
from storage.tables import load_table_specs


class Project(Protocol):
    """What a plan needs of a dbt project: `platform_assets.dbt_project.DbtProject`."""

    @property
    def code_version(self) -> str: ...

    def parse(self, target: Path) -> Path: ...

    def runner(self, settings: StorageSettings, manifest: Path) -> Invoke: ...


def make_plan(
    settings: StorageSettings,
    engine: Engine,
    project: Project,
    days: Sequence[PlannedDay],
    *,
    now: datetime,
    kept: timedelta,
    max_rows: int,
    progress: Progress = lambda _: None,
) -> Plan:
    """A plan that is ready to be applied. The same hours, base, input and code give the plan that is there already.

    Raises:
        NothingLandedError: there is no bronze to build from.
        BuildFailedError: a model or check failed; nothing is kept.
    """
    from storage.bronze import landing_stamps, latest_version
    from storage.comparison import compare

    # The base first: bronze only grows, so the version is never older than what the base has read.
    base = current_base(engine)
    version = latest_version(settings)
    hours = tuple(hour for day in days for hour in day.hours)
    if version is None or not hours:
        raise NothingLandedError("Bronze holds no records of that range: there is nothing to plan.")
    fingerprint = _fingerprint(hours, base.publication_id, version, project.code_version)
    known = plans.find_ready(engine, fingerprint, now)
    if known is not None:
        return known
    plan = plans.open_plan(
        engine,
        fingerprint=fingerprint,
        hours=hours,
        base_publication_id=base.publication_id,
        base_snapshot_id=base.snapshot_id,
        bronze_version=version,
        landed_until=landing_stamps(settings, [version]).get(version),
        code_version=project.code_version,
        expires_at=now + kept,
    )
    folder = plan_folder(settings, plan.plan_id)
    try:
        # A number may come again with a new database beside old files.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        progress("reading the dbt project")
        manifest = project.parse(folder / "target")
        specs = load_table_specs(manifest)
        result = result_file(settings, plan.plan_id)
        inputs = RangeInputs(base, version, plan.run_id)
        invoke = project.runner(settings, manifest)
        build_range(settings, engine, specs, invoke, cut_days(days, max_rows), inputs, result, progress)
        progress("comparing with what is published")
        differences = compare(settings, specs, result, hours, base.snapshot_id)
        plans.mark_ready(engine, plan.plan_id, hash_file(result), differences)
    except BaseException:
        drop_plan(settings, engine, plan.plan_id)
        raise
    return plans.find(engine, plan.plan_id) or plan


def _fingerprint(hours: Sequence[datetime], base: int | None, version: int, code_version: str) -> str:
    text = json.dumps([compress_hours(hours), base, version, code_version])
    return hashlib.sha256(text.encode()).hexdigest()
