"""The dbt command line as a resource, without the network."""

import importlib.metadata
import os
from collections.abc import Sequence
from contextlib import chdir
from typing import TYPE_CHECKING

from dagster_dbt import DbtCliResource
from packaging import version

from platform_assets.settings import OrchestrationSettings, installed_dbt

if TYPE_CHECKING:
    from dbt.adapters.base.impl import BaseAdapter


class OfflineDbtCliResource(DbtCliResource):
    """dbt without two costs of dagster-dbt's resource in every run.

    It asks `dbt --version`, which starts dbt (two seconds) and looks for a newer release on the network: the installed package knows its
    version. And it opens an adapter in the run's own process (a second), which only `open_adapter`'s caller needs.
    """

    @property
    def _cli_version(self) -> version.Version:
        return version.parse(importlib.metadata.version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> "BaseAdapter":
        del args
        return None  # type: ignore[return-value]  # the invocation takes None as "no adapter"

    def using(self, executable: str) -> "OfflineDbtCliResource":
        """The same with another dbt command: the environment may name one, and is not read at import."""
        return OfflineDbtCliResource(
            project_dir=self.project_dir, profiles_dir=self.profiles_dir, dbt_executable=executable
        )

    def open_adapter(self, args: Sequence[str]) -> "BaseAdapter":
        """What dagster-dbt asks for relations and their columns: an adapter of this process, reading the finished build."""
        with chdir(self.project_dir):
            return super()._initialize_dbt_core_adapter(args)


def make_dbt_resource() -> OfflineDbtCliResource:
    """The project's dbt. Opens nothing."""
    project_dir = os.fspath(OrchestrationSettings.model_fields["dbt_project_dir"].default)
    return OfflineDbtCliResource(project_dir=project_dir, profiles_dir=project_dir, dbt_executable=installed_dbt())
