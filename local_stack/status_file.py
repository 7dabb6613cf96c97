"""What the supervisor tells others: one JSON file, replaced whole at every change, and a lock that is held while it lives."""

import fcntl
import json
import time
from dataclasses import dataclass
from typing import Any, TextIO

import psutil

from local_stack.environment import write_private
from local_stack.errors import AlreadyRunningError
from local_stack.settings import StackSettings

# Longer than anybody who only looks holds the lock.
LOCK_WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class ProcessStatus:
    """One line of `tidemark status`."""

    name: str
    pid: int | None
    state: str
    is_task: bool
    restarts: int
    detail: str


@dataclass(frozen=True)
class StackStatus:
    """`state` is stopped, starting, ready, failed or stopping; stopped also when a supervisor was killed."""

    state: str
    supervisor_pid: int | None
    processes: tuple[ProcessStatus, ...]


def write_status(settings: StackSettings, status: dict[str, Any]) -> None:
    """Replaces the file."""
    write_private(settings.status_file, json.dumps(status))


def read_status(settings: StackSettings) -> StackStatus:
    """The newest status; every process counts as stopped when no supervisor lives."""
    try:
        found = json.loads(settings.status_file.read_text())
    except (OSError, ValueError):
        found = {"state": "starting", "processes": []}
    pid = holder_pid(settings)
    if pid is None:
        return StackStatus("failed" if found["state"] == "failed" else "stopped", None, ())
    processes = tuple(ProcessStatus(**process) for process in found["processes"])
    # Between taking the lock and its first status, a supervisor shows what its predecessor wrote.
    state = found["state"] if found.get("supervisor_pid") == pid else "starting"
    return StackStatus(state, pid, processes if state == found["state"] else ())


def take_lock(settings: StackSettings, pid: int) -> TextIO:
    """The lock, held until the file is closed or the process is gone.

    Raises: AlreadyRunningError when another supervisor holds it.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    handle = settings.lock_file.open("a+")
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while not _try_lock(handle, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            handle.close()
            raise AlreadyRunningError(already_running(settings))
        time.sleep(0.05)
    handle.truncate(0)
    handle.write(str(pid))
    handle.flush()
    return handle


def already_running(settings: StackSettings) -> str:
    """What to tell somebody who starts a second stack in the same home."""
    return (
        f"a stack runs already in {settings.home} (pid {holder_pid(settings)}); stop it with `tidemark down`, "
        "or start another one with its own TIDEMARK_HOME and TIDEMARK_PORT_OFFSET"
    )


def holder_pid(settings: StackSettings) -> int | None:
    """Process id of the living supervisor of this home, None when there is none."""
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            with settings.lock_file.open() as handle:
                if _try_lock(handle, fcntl.LOCK_SH):
                    return None
                pid = int(handle.read() or 0)
        except (FileNotFoundError, ValueError):
            return None
        # Between taking the lock and writing its id, a supervisor shows its dead predecessor's.
        if _is_alive(pid) or time.monotonic() > deadline:
            return pid or None
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        return pid > 0 and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _try_lock(handle: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
