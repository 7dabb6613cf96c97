"""A dbt project as commands outside of Dagster's runs use it: parsed into a folder of its own, and callable for a build."""

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from platform_assets.build import BuildPlan, Invoke
from platform_assets.code_version import read_code_version
from platform_assets.column_metadata import ColumnMetadataFile
from platform_assets.dbt_run import DbtRunner
from platform_assets.resources.dbt import OfflineDbtCliResource
from platform_assets.settings import installed_dbt
from storage.settings import StorageSettings


class ProjectError(Exception):
    """The project cannot be used; the message says why."""


class DbtProject:
    """The project in a folder. Its code may differ from the code that runs: never by the stack's fork server, which holds that one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        if not (self.folder / "dbt_project.yml").exists():
            raise ProjectError(f"{self.folder} is no dbt project: dbt_project.yml is missing.")

    @property
    def code_version(self) -> str:
        """What publications of its builds will say."""
        return read_code_version(self.folder)

    def parse(self, target: Path) -> Path:
        """The manifest, made anew in `target`. Raises ProjectError when dbt cannot read the project."""
        with redirect_stdout(io.StringIO()):
            invocation = self._dbt().cli(["parse"], target_path=target.resolve(), raise_on_error=False).wait()
        if not invocation.is_successful():
            raise ProjectError(f"dbt cannot read {self.folder}: {invocation.get_error()}")
        return target / "manifest.json"

    def runner(self, settings: StorageSettings, manifest: Path) -> Invoke:
        """Calls dbt for a build plan."""
        columns = ColumnMetadataFile(settings.builds_dir, self.code_version)
        runner = DbtRunner(self._dbt(), settings, manifest, columns)

        def invoke(plan: BuildPlan) -> list[Any]:
            # dagster-dbt prints dbt's log, which belongs to runs: a command's stdout is its data. dbt keeps a log file of its own.
            with redirect_stdout(io.StringIO()):
                return runner(plan)

        return invoke

    def _dbt(self) -> OfflineDbtCliResource:
        folder = str(self.folder)
        return OfflineDbtCliResource(project_dir=folder, profiles_dir=folder, dbt_executable=installed_dbt())
