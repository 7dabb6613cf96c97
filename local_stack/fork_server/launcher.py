"""Dagster's run launcher of the local stack: runs are forks of the fork server. Loaded by the daemon and the webserver."""

import signal
from collections.abc import Mapping
from typing import Any, Self

import dagster as dg
from dagster._core.launcher.base import LaunchRunContext, RunLauncher
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from local_stack.fork_server.client import ForkServerError, ask


class ForkServerRunLauncher(RunLauncher[dg.DagsterInstance], ConfigurableClass):
    """Launches and cancels runs. One that was killed is failed by the fork server, at once; one that died with it, by its successor."""

    def __init__(self, socket: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._socket = socket
        self._inst_data = inst_data
        super().__init__()  # type: ignore[no-untyped-call]  # dagster leaves it untyped

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What dagster.yaml said."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """`socket`: path of the fork server's socket."""
        return {"socket": str}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Made from dagster.yaml."""
        return cls(socket=config_value["socket"], inst_data=inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Starts the run's process and returns. Raises ForkServerError: Dagster fails the run then, and its hours stay dirty."""
        run = context.dagster_run
        if run.job_code_origin is None:
            raise ForkServerError(f"run {run.run_id} does not say where its code is")
        arguments = ExecuteRunArgs(
            job_origin=run.job_code_origin,
            run_id=run.run_id,
            instance_ref=self._instance.get_ref(),
            set_exit_code_on_failure=True,
        ).get_command_args()
        arguments = arguments[arguments.index("api") :]
        ask(self._socket, {"do": "start", "name": run.run_id, "program": "dagster", "arguments": arguments})

    def terminate(self, run_id: str) -> bool:
        """Asks the run to end. False when it has no process."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return bool(ask(self._socket, {"do": "signal", "name": run_id, "signal": int(signal.SIGTERM)})["delivered"])
