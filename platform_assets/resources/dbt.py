"""The dbt command line as a resource, without the network."""

import importlib.metadata
import os
import sys
from pathlib import Path

from dagster_dbt import DbtCliResource
from packaging import version

from platform_assets.settings import OrchestrationSettings


class OfflineDbtCliResource(DbtCliResource):
    """dagster-dbt asks `dbt --version` in every run, which starts dbt (two seconds) and looks for a newer release on the network.
    The installed package knows its version."""

    @property
    def _cli_version(self) -> version.Version:
        return version.parse(importlib.metadata.version("dbt-core"))


def dbt_executable() -> str:
    """The dbt beside the running interpreter."""
    beside = Path(sys.executable).parent / "dbt"
    return os.fspath(beside) if beside.exists() else "dbt"


def make_dbt_resource() -> OfflineDbtCliResource:
    """The project's dbt. Opens nothing."""
    project_dir = os.fspath(OrchestrationSettings.model_fields["dbt_project_dir"].default)
    return OfflineDbtCliResource(project_dir=project_dir, profiles_dir=project_dir, dbt_executable=dbt_executable())
