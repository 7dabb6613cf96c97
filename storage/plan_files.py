"""The files of plans: one folder per plan below the builds folder, with the build of its whole range and the manifest that made it."""

import hashlib
import shutil
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from storage.control import plans
from storage.settings import StorageSettings

# Not build.duckdb, by which the folders of finished runs are known and cleaned up.
RESULT_NAME = "result.duckdb"


def plan_folder(settings: StorageSettings, plan_id: int) -> Path:
    """The plan's own folder."""
    return settings.builds_dir / "plans" / str(plan_id)


def result_file(settings: StorageSettings, plan_id: int) -> Path:
    """The build that applying publishes."""
    return plan_folder(settings, plan_id) / RESULT_NAME


def manifest_file(settings: StorageSettings, plan_id: int) -> Path:
    """dbt's manifest of the project that the plan was built with."""
    return plan_folder(settings, plan_id) / "target" / "manifest.json"


def hash_file(path: Path) -> str:
    """SHA-256 of the content, hex."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def drop_plan(settings: StorageSettings, engine: Engine, plan_id: int, state: str = "dropped") -> None:
    """Closes the plan and removes its files. Idempotent."""
    plans.mark_closed(engine, plan_id, state)
    remove_files(settings, plan_id)


def remove_files(settings: StorageSettings, plan_id: int) -> None:
    """Removes what a plan that is applied or closed no longer needs. Idempotent."""
    shutil.rmtree(plan_folder(settings, plan_id), ignore_errors=True)


def remove_expired_plans(settings: StorageSettings, engine: Engine, now: datetime) -> list[int]:
    """Ids of the plans whose time was over, now without files; applied ones lose theirs too, where their application was cut off."""
    over = [plan.plan_id for plan in plans.list_over(engine, now)]
    for plan_id in over:
        drop_plan(settings, engine, plan_id, "expired")
    folders = (settings.builds_dir / "plans").glob("*/")
    for plan_id in plans.list_applied(engine, [int(folder.name) for folder in folders if folder.name.isdigit()]):
        remove_files(settings, plan_id)
    return over
