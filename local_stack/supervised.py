"""The life of one supervised process as a small state machine: start, readiness, crash, backoff, stop. It never sleeps: it is ticked.

Processes are started from the main thread only, because the kernel's parent-death signal follows the thread that forked.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from enum import StrEnum
from pathlib import Path

from local_stack import child
from local_stack.log_files import last_line, open_log
from local_stack.marks import VARIABLE, find_marked, kill_marked
from local_stack.priority import stand_back
from local_stack.process_spec import ProcessSpec
from runtime.settings import EXIT_CONFIGURATION

FIRST_BACKOFF_SECONDS = 0.5
# Short enough that a dependency that came back is used again well within the promised minute.
LONGEST_BACKOFF_SECONDS = 15.0
CRASHES_OF_A_LOOP = 5
STABLE_AFTER_SECONDS = 60.0
POLL_STARTING_SECONDS = 0.25
POLL_READY_SECONDS = 5.0


class State(StrEnum):
    """Where a process is. DONE and FAILED are the ends of a task."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    UNHEALTHY = "unhealthy"
    BACKING_OFF = "backing_off"
    CRASH_LOOPING = "crash_looping"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"


RUNNING_STATES = (State.STARTING, State.READY, State.UNHEALTHY)


def backoff_seconds(crashes_in_a_row: int) -> float:
    """Pause before the next start: doubles from half a second up to a quarter of a minute."""
    return float(min(FIRST_BACKOFF_SECONDS * 2 ** min(crashes_in_a_row - 1, 16), LONGEST_BACKOFF_SECONDS))


class Supervised:
    """One process of the stack. `was_ready` stays true: others wait for it at their first start only."""

    def __init__(
        self,
        spec: ProcessSpec,
        logs_dir: Path,
        mark: str,
        base_environment: Mapping[str, str],
        executor: Executor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec = spec
        self.state = State.WAITING
        self.was_ready = False
        self.restarts = 0
        self.detail = ""
        self.log_file = logs_dir / f"{spec.name}.log"
        self._mark = mark
        self._environment = {**base_environment, **spec.env, VARIABLE: mark}
        self._executor = executor
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._health: Future[bool] | None = None
        self._started_at = self._ready_at = self._next_look_at = self._next_start_at = self._kill_at = 0.0
        self._crashes_in_a_row = 0

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def tick(self, may_start: bool) -> None:
        """One step: looks at the process and does what is due."""
        is_due = self.state in (State.BACKING_OFF, State.CRASH_LOOPING) and self._clock() >= self._next_start_at
        if is_due or (self.state is State.WAITING and may_start):
            self._start()
        elif self.state in RUNNING_STATES:
            self._look()

    def stop(self) -> None:
        """Asks the process to end; `tick_stop` follows up. Idempotent."""
        if self.pid is None:
            self.state = State.STOPPED if self.state not in (State.DONE, State.FAILED) else self.state
        elif self.state is not State.STOPPING:
            self.state = State.STOPPING
            self._kill_at = self._clock() + self.spec.stop_timeout_seconds
            self._send(self.spec.stop_signal)

    def tick_stop(self) -> bool:
        """True when the process and all that it started are gone; kills it when its time is over."""
        if self.state is not State.STOPPING:
            return True
        assert self._process is not None
        if self._process.poll() is None:
            if self._clock() >= self._kill_at:
                self._send(signal.SIGKILL)
            return False
        kill_marked(self._mark)
        self.state = State.STOPPED
        self.detail = f"exit {self._process.returncode}"
        return True

    def kill(self) -> None:
        """Ends the process and all that it started, now."""
        if self.pid is not None:
            self._send(signal.SIGKILL)
        kill_marked(self._mark)
        self.state = State.STOPPED

    def describe(self) -> dict[str, object]:
        """For status.json."""
        return {
            "name": self.spec.name,
            "pid": self.pid,
            "state": self.state.value,
            "is_task": self.spec.is_task,
            "restarts": self.restarts,
            "detail": self.detail,
        }

    def _start(self) -> None:
        self.state = State.STARTING
        self._started_at = self._clock()
        self._health = None
        self._next_look_at = 0.0
        try:
            if self.spec.prepare is not None:
                self.spec.prepare()
            with open_log(self.log_file) as log:
                self._process = subprocess.Popen(
                    child.wrap(self.spec.argv, self.spec.death_signal, self.spec.user),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.spec.cwd,
                    env=self._environment,
                    start_new_session=True,
                )
        except Exception as error:  # noqa: BLE001 - whatever keeps it from starting counts as a crash, reported and retried
            self._process = None
            self._crashed(f"could not start: {error}")

    def _look(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            self._ended(self._process.returncode)
        elif self.spec.is_task:
            if self._clock() - self._started_at > self.spec.start_timeout_seconds:
                self._send(signal.SIGKILL)
        else:
            self._look_at_health()

    def _look_at_health(self) -> None:
        now = self._clock()
        if self._health is None:
            if now >= self._next_look_at:
                self._health = self._executor.submit(self.spec.health.is_healthy, now - self._started_at)
            return
        if not self._health.done():
            return
        is_healthy = self._health.exception() is None and self._health.result()
        self._health = None
        self._next_look_at = now + (POLL_READY_SECONDS if is_healthy and self.was_ready else POLL_STARTING_SECONDS)
        if is_healthy:
            if self.state is State.STARTING:
                self._ready_at = now
                if self.spec.niceness:
                    stand_back(find_marked(self._mark), self.spec.niceness)
            self.state = State.READY
            self.was_ready = True
            self.detail = ""
            if self._crashes_in_a_row and now - self._ready_at >= STABLE_AFTER_SECONDS:
                self._crashes_in_a_row = 0
        elif self.state is State.READY:
            self.state = State.UNHEALTHY
            self.detail = "runs, but its health check fails"
        elif self.state is State.STARTING and now - self._started_at > self.spec.start_timeout_seconds:
            self.detail = f"not ready within {self.spec.start_timeout_seconds:g} s"
            self._send(signal.SIGKILL)

    def _ended(self, exit_code: int) -> None:
        if not self.spec.is_task:
            self._crashed(f"exit {exit_code}: {last_line(self.log_file)}", is_hopeless=exit_code == EXIT_CONFIGURATION)
            return
        kill_marked(self._mark)
        self.was_ready = exit_code == 0
        self.state = State.DONE if exit_code == 0 else State.FAILED
        self.detail = "" if exit_code == 0 else f"exit {exit_code}: {last_line(self.log_file)}"

    def _crashed(self, detail: str, *, is_hopeless: bool = False) -> None:
        """Kills what the process left behind, so that its successor is alone, and says when that starts."""
        kill_marked(self._mark)
        self.restarts += 1
        self._crashes_in_a_row += CRASHES_OF_A_LOOP if is_hopeless else 1
        self.detail = detail
        is_loop = self._crashes_in_a_row >= CRASHES_OF_A_LOOP
        self.state = State.CRASH_LOOPING if is_loop else State.BACKING_OFF
        self._next_start_at = self._clock() + backoff_seconds(self._crashes_in_a_row)

    def _send(self, number: signal.Signals) -> None:
        """The stop signal goes to the process alone: it knows how to end its own. A kill goes to its whole group."""
        assert self._process is not None
        try:
            if number is signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                os.kill(self._process.pid, number)
        except ProcessLookupError:
            pass
