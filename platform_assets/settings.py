"""Settings of orchestration: how much one run builds, how often sensors look. Addresses of data are in `storage.settings`."""

import os
import sys
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent
# Publishing is one writer's work; dagster.yaml gives every pool one place.
BUILDS_POOL = "builds"
DOCS_POOL = "docs"
# One Spark job at a time: each is a JVM beside landing's.
SPARK_POOL = "spark"


def installed_dbt() -> str:
    """The dbt beside the running interpreter."""
    beside = Path(sys.executable).parent / "dbt"
    return os.fspath(beside) if beside.exists() else "dbt"


class OrchestrationSettings(BaseSettings):
    """Every knob has a bound and a reason; the defaults suit two cores."""

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_PLATFORM_", frozen=True, extra="ignore")

    dbt_project_dir: Path = Field(default=PROJECT_ROOT / "dbt_project", description="The dbt project.")
    dbt_executable: str = Field(default="", description="The dbt command. Empty: the one beside the interpreter.")
    docs_dir: Path = Field(default=Path(".tidemark/dbt_docs"), description="Where generated dbt docs are served from.")
    max_rows_per_build: int = Field(
        default=1_500_000,
        ge=1_000,
        description="Rows of one build of a plan, a scratch, or a run over partitions.",
    )
    max_rows_per_late_run: int = Field(
        default=400_000,
        ge=1_000,
        description="Rows of one run of late events, an import or a replay, so that arrivals wait some 20 s at most; an hour is never cut.",
    )
    max_runs_per_tick: int = Field(
        default=4, ge=1, le=50, description="Range runs that one tick of a sensor may request."
    )
    stale_heartbeat_seconds: int = Field(
        default=60, ge=5, description="A stream that was silent for longer raises an alert."
    )
    stalled_stream_seconds: int = Field(
        default=120,
        ge=30,
        description="A stream whose records wait, and get no further for longer, raises an alert.",
    )
    kept_builds: int = Field(
        default=5, ge=1, description="Build folders that are kept for a look; the newest serve the dbt docs."
    )
    recent_publications_kept_hours: int = Field(
        default=1, ge=0, description="Younger publications never expire: readers may still hold them."
    )
    bronze_dead_files_kept_hours: int = Field(
        default=168,
        ge=24,
        description="Younger data files of bronze are never deleted; older ones stay a day after compaction replaced them.",
    )
    live_minutes_kept_days: int = Field(
        default=7, ge=1, le=365, description="Days that live minutes are kept for which gold answers."
    )
    live_alerts_kept_days: int = Field(
        default=30, ge=1, le=3650, description="Days that resolved alerts of the live windows are kept."
    )
    live_hours_per_pass: int = Field(
        default=200,
        ge=1,
        le=10_000,
        description="Hours of live minutes that one pass removes, each in its own transaction.",
    )

    @property
    def dbt_command(self) -> str:
        """What to run for dbt."""
        return self.dbt_executable or installed_dbt()
