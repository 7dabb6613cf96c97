"""Runs the stack's processes: starts them in order, restarts what crashes, stops all on one signal, and leaves nothing behind.

`python -m local_stack.supervisor`. Its loop never blocks on a child: health checks run in threads, everything else is a look.
What it knows is in status.json. If it is killed, its guardian kills the rest.
"""

import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

from local_stack import environment, processes
from local_stack.errors import AlreadyRunningError, LocalStackError
from local_stack.jars import ensure_jars
from local_stack.log_files import bound
from local_stack.marks import VARIABLE, kill_marked, mark
from local_stack.postgres import Postgres
from local_stack.process_spec import ProcessSpec, dependents, order_by_dependency
from local_stack.settings import StackSettings
from local_stack.status_file import take_lock, write_status
from local_stack.supervised import State, Supervised

logger = logging.getLogger("tidemark.supervisor")

TICK_SECONDS = 0.1
LOG_LOOK_SECONDS = 30.0
# No wave of stopping may take longer than this in all: 20 s are promised.
STOP_ALL_SECONDS = 17.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
HEALTH_THREADS = 4


class Supervisor:
    """One run of a table of processes. `run` returns the exit code: 0 stopped on request, 1 a one-time step failed."""

    def __init__(
        self, settings: StackSettings, specs: Sequence[ProcessSpec], base_environment: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._run_id = secrets.token_hex(4)
        self._executor = ThreadPoolExecutor(HEALTH_THREADS, thread_name_prefix="health")
        self._dependents = dependents(list(specs))
        self._supervised = {
            spec.name: Supervised(
                spec,
                settings.logs_dir,
                mark(settings.home_id, self._run_id, spec.name),
                base_environment,
                self._executor,
            )
            for spec in order_by_dependency(list(specs))
        }
        self._state = "starting"
        self._is_stopping = False
        self._written: dict[str, Any] = {}
        self._is_mute = False
        self._next_log_look_at = 0.0
        self._guardian: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Supervises until a stop signal or a failed one-time step; everything is stopped when it returns."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._ask_to_stop)
        left_over = kill_marked(mark(self._settings.home_id))
        if left_over:
            logger.warning("killed %s processes that an earlier supervisor of this home left behind", left_over)
        try:
            while not self._is_stopping and self._state != "failed":
                self._tick()
                time.sleep(TICK_SECONDS)
        finally:
            self._stop_all()
        return 1 if self._state == "failed" else 0

    def _ask_to_stop(self, number: int, _frame: FrameType | None) -> None:
        logger.info("stopping on signal %s", signal.Signals(number).name)
        self._is_stopping = True

    def _tick(self) -> None:
        self._keep_guardian()
        for supervised in self._supervised.values():
            before = supervised.state
            supervised.tick(all(self._supervised[name].was_ready for name in supervised.spec.after))
            if supervised.state is not before:
                logger.info("%s: %s %s", supervised.spec.name, supervised.state.value, supervised.detail)
        if any(supervised.state is State.FAILED for supervised in self._supervised.values()):
            self._state = "failed"
        elif all(supervised.was_ready for supervised in self._supervised.values()):
            self._state = "ready"
        self._tell()
        if time.monotonic() >= self._next_log_look_at:
            self._next_log_look_at = time.monotonic() + LOG_LOOK_SECONDS
            for supervised in self._supervised.values():
                bound(supervised.log_file)

    def _stop_all(self) -> None:
        """Stops everything, dependents before what they depend on; then the guardian sweeps and ends."""
        if self._state != "failed":
            self._state = "stopping"
        deadline = time.monotonic() + STOP_ALL_SECONDS
        open_names = set(self._supervised)
        while open_names and time.monotonic() < deadline:
            for name in sorted(open_names):
                if not self._dependents[name] & open_names:
                    self._supervised[name].stop()
                    if self._supervised[name].tick_stop():
                        open_names.discard(name)
            self._tell()
            time.sleep(TICK_SECONDS / 2)
        for name in open_names:
            logger.warning("%s was still there at the end of the stop and is killed", name)
            self._supervised[name].kill()
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._guardian is not None and self._guardian.stdin is not None:
            self._guardian.stdin.close()
            self._guardian.wait(timeout=10)
        if self._state != "failed":
            self._state = "stopped"
        self._tell()

    def _keep_guardian(self) -> None:
        """Starts the guardian, again if somebody killed it."""
        if self._guardian is not None and self._guardian.poll() is None:
            return
        environ = {key: value for key, value in os.environ.items() if key != VARIABLE}
        argv = [sys.executable, "-m", "local_stack.guardian", mark(self._settings.home_id, self._run_id)]
        self._guardian = subprocess.Popen(argv, stdin=subprocess.PIPE, env=environ, start_new_session=True, cwd="/")

    def _tell(self) -> None:
        status = {
            "state": self._state,
            "supervisor_pid": os.getpid(),
            "processes": [supervised.describe() for supervised in self._supervised.values()],
        }
        if status == self._written:
            return
        try:
            write_status(self._settings, status)
        except OSError as error:  # on a full disk services die, and somebody must be there to start them again
            if not self._is_mute:
                logger.error("the status cannot be written, trying again until it can: %s", error)
            self._is_mute = True
            return
        self._is_mute = False
        self._written = status


def main() -> int:
    """Supervises the stack of the settings in the environment."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = StackSettings()
    try:
        with take_lock(settings, os.getpid()):
            processes.prepare_folders(settings)
            server = Postgres(settings.home / "postgres", settings.ports.postgres)
            server.initialise()
            jars = ":".join(str(path) for path in ensure_jars().spark)
            computed = environment.compute(
                settings, server.password_file.read_text(), jars, processors=os.cpu_count() or 1
            )
            stack = environment.merge(computed, os.environ)
            environment.write_file(settings.environment_file, stack)
            table = processes.build_table(settings, stack)
            return Supervisor(settings, table, environment.process_environment(stack, os.environ)).run()
    except AlreadyRunningError as error:
        logger.error("%s", error)
        return 1
    except LocalStackError as error:
        logger.error("%s", error)
        write_status(settings, {"state": "failed", "supervisor_pid": os.getpid(), "processes": []})
        return 1


if __name__ == "__main__":
    sys.exit(main())
