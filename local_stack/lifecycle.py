"""Starting, awaiting and stopping a supervisor from outside: what the command line and tests do with a stack.

Talks to the supervisor by its status file, its lock and signals only.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from local_stack import child
from local_stack.errors import AlreadyRunningError, StartError
from local_stack.log_files import tail
from local_stack.settings import StackSettings
from local_stack.status_file import StackStatus, already_running, holder_pid, read_status

READY_TIMEOUT_SECONDS = 400.0
# The supervisor promises 20 s; then it is killed and its guardian cleans up.
STOP_TIMEOUT_SECONDS = 25.0
LOG_TAIL_LINES = 12
POLL_SECONDS = 0.2


def start(settings: StackSettings, *, detach: bool) -> subprocess.Popen[bytes]:
    """A supervisor in a session of its own, so that Ctrl-C reaches only the caller. Not detached, it stops when the caller dies.

    Raises: AlreadyRunningError when this home has one.
    """
    if holder_pid(settings) is not None:
        raise AlreadyRunningError(already_running(settings))
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "local_stack.supervisor"]
    environ = {**os.environ, "TIDEMARK_HOME": str(settings.home), "TIDEMARK_PORT_OFFSET": str(settings.port_offset)}
    with supervisor_log(settings).open("ab") as log:
        return subprocess.Popen(
            argv if detach else child.wrap(argv, signal.SIGTERM),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environ,
            start_new_session=True,
        )


def supervisor_log(settings: StackSettings) -> Path:
    """Where the supervisor writes."""
    return settings.logs_dir / "supervisor.log"


def wait_until_ready(
    settings: StackSettings,
    supervisor: subprocess.Popen[bytes],
    on_change: Callable[[StackStatus], None],
    timeout_seconds: float = READY_TIMEOUT_SECONDS,
) -> None:
    """Returns when every process was ready. Tells every change on the way.

    Raises: StartError with the end of the guilty log when a step failed, a process crash-loops or the time is over.
    """
    deadline = time.monotonic() + timeout_seconds
    seen: StackStatus | None = None
    while True:
        status = read_status(settings)
        if status != seen:
            on_change(status)
            seen = status
        if status.state == "ready":
            return
        if supervisor.poll() is not None:
            raise StartError(_explain(settings, status, f"the supervisor ended with exit code {supervisor.returncode}"))
        if any(process.state in ("failed", "crash_looping") for process in status.processes):
            raise StartError(_explain(settings, status, "the stack cannot start"))
        if time.monotonic() > deadline:
            raise StartError(_explain(settings, status, f"not ready within {timeout_seconds:g} s"))
        time.sleep(POLL_SECONDS)


def stop(settings: StackSettings) -> bool:
    """Stops the stack of this home and waits for it. False when none was running."""
    pid = holder_pid(settings)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while holder_pid(settings) == pid:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS / 2)
    return True


@contextmanager
def stop_on_exit(settings: StackSettings, *, enabled: bool, console_print: Callable[[str], None]) -> Iterator[None]:
    """Stops the stack when the block ends, Ctrl-C and SIGTERM included; neither shows a traceback."""
    if not enabled:
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        console_print("stopping…")
    finally:
        signal.signal(signal.SIGTERM, before)
        stop(settings)


def _explain(settings: StackSettings, status: StackStatus, reason: str) -> str:
    """The reason, what is not ready and why, and the end of the first guilty log."""
    guilty = [process for process in status.processes if process.state in ("failed", "crash_looping", "backing_off")]
    unready = [process.name for process in status.processes if process.state not in ("ready", "done")]
    name = guilty[0].name if guilty else "supervisor"
    lines = [f"{reason}; not ready: {', '.join(unready)}" if unready else reason]
    lines += [f"{process.name}: {process.state}, {process.detail}" for process in guilty]
    lines += [f"end of {settings.logs_dir / name}.log:", *tail(settings.logs_dir / f"{name}.log", LOG_TAIL_LINES)]
    return "\n".join(lines)
