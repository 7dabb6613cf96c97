"""Named crash points: the places between two side effects where a fault test may let a process die as if by kill -9.

A point does nothing unless TIDEMARK_CRASH_POINTS_DIR names a folder. Then a process that reaches a point whose name is a file there takes
the file away and kills itself with SIGKILL: nothing is flushed, no `finally` runs. Taking the file away first makes each arming one crash,
however many processes reach the point. No production setting refers to this; see tests/faults.
"""

import os
import signal
from enum import StrEnum
from functools import cache
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class CrashPoint(StrEnum):
    """Every point: which side effect has happened, and which has not."""

    INGESTION_QUEUED = "ingestion.queued"
    """Given to the producer; the broker has not acknowledged, the client has no answer."""
    INGESTION_ACKNOWLEDGED = "ingestion.acknowledged"
    """The broker has it; neither the acknowledgement ledger nor the client knows."""
    INGESTION_COUNTED = "ingestion.counted"
    """Counted in memory for the ledger; the client has no answer."""
    BRIDGE_PRODUCED = "bridge.produced"
    """Downloads are in the live topic; their offsets in the inlet are not committed."""
    LANDING_PLANNED = "landing.planned"
    """Spark has noted the batch's offsets; bronze has no commit of it."""
    LANDING_COMMITTED = "landing.committed"
    """Bronze has the commit; Spark has not noted the batch as done."""
    WINDOWS_APPLIED = "windows.applied"
    """The live minutes hold the batch; Spark has not noted it as done."""
    HOT_STORE_WRITTEN = "hot_store.written"
    """The hot store has the batch's rows; its dead letters are not sent."""
    HOT_STORE_HANDLED = "hot_store.handled"
    """Rows and dead letters are there; the group's offsets are not committed."""
    RUN_BUILT = "run.built"
    """The build file is made and checked; nothing is published."""
    PUBLICATION_APPLIED = "publication.applied"
    """The difference is in the lake's open transaction; it is not committed."""
    PUBLICATION_COMMITTED = "publication.committed"
    """The publication is readable; its hours still count as dirty."""
    RUN_MARKED = "run.marked"
    """Its hours are clean; the run has not told Dagster that it ended."""


class _CrashPointSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TIDEMARK_", extra="ignore", frozen=True)

    crash_points_dir: Path | None = None


@cache
def _folder() -> Path | None:
    return _CrashPointSettings().crash_points_dir


def reach(point: CrashPoint) -> None:
    """Dies here when the point is armed. Otherwise costs a lookup, or where a folder is set a call of the system."""
    folder = _folder()
    if folder is None:
        return
    try:
        (folder / point).unlink()
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
