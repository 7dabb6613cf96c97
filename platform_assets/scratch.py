"""Makes a scratch: the caller's source fills its bronze, the usual dbt build over an empty lake its silver and gold."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from platform_assets.plans import Project
from platform_assets.range_build import Progress, RangeInputs, build_range
from platform_assets.replay import cut_days, plan_days
from storage import scratch as scratches
from storage.control.replays import ReplayRange
from storage.plan_files import RESULT_NAME
from storage.publications import Base
from storage.scratch import Scratch, ScratchError
from storage.settings import StorageSettings
from storage.tables import load_table_specs


@dataclass(frozen=True)
class Source:
    """Where the records come from. `fill` writes them into a Delta table at the address given; `input_version` says what it will read."""

    name: str
    input_version: str
    fill: Callable[[str], int]


def make_scratch(
    settings: StorageSettings,
    engine: Engine,
    project: Project,
    name: str,
    wanted: ReplayRange,
    source: Source,
    *,
    now: datetime,
    max_rows: int,
    progress: Progress = lambda _: None,
) -> Scratch:
    """The finished scratch; the one that is there when source, range, input and code are the same. Another of its name is replaced.

    Raises:
        ScratchError: the range holds no records.
        BuildFailedError: a model or check failed; an older scratch of that name is still there.
    """
    from storage.bronze import latest_version
    from storage.bronze_hours import count_by_hour

    folder = scratches.scratch_folder(settings, name)
    fingerprint = _fingerprint(wanted, source, project.code_version)
    known = scratches.find(settings, name)
    if known is not None and known.fingerprint == fingerprint:
        return known
    unfinished = folder.with_name(f".{name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    apart = scratches.scratch_settings(settings, unfinished)
    progress(f"reading records from {source.name}")
    record_count = source.fill(apart.bronze_uri)
    version = latest_version(apart)
    rows = count_by_hour(apart, version, wanted) if version is not None else {}
    if version is None or not rows:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise ScratchError(f"There are no such records in {source.name}: nothing was built.")
    manifest = project.parse(unfinished / "target")
    specs = load_table_specs(manifest)
    base = Base(None, scratches.create_empty_base(apart, specs))
    windows = cut_days(plan_days(wanted, rows, ()), max_rows)
    result = unfinished / RESULT_NAME
    inputs = RangeInputs(base, version, f"scratch-{name}")
    build_range(apart, engine, specs, project.runner(apart, manifest), windows, inputs, result, progress)
    made = Scratch(
        name=name,
        fingerprint=fingerprint,
        source=source.name,
        first_hour=wanted.first_hour.isoformat(),
        end_hour=wanted.end_hour.isoformat(),
        app_id=wanted.app_id,
        event_type=wanted.event_type,
        record_count=record_count,
        rows_by_table=scratches.count_rows(apart, result, specs),
        code_version=project.code_version,
        made_at=now.isoformat(),
    )
    scratches.write_description(unfinished, made)
    scratches.replace_folder(unfinished, folder)
    return made


def _fingerprint(wanted: ReplayRange, source: Source, code_version: str) -> str:
    parts = [wanted.first_hour.isoformat(), wanted.end_hour.isoformat(), wanted.app_id, wanted.event_type]
    text = json.dumps([*parts, source.name, source.input_version, code_version])
    return hashlib.sha256(text.encode()).hexdigest()
