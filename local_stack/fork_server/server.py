"""The fork server: `python -m local_stack.fork_server.server SOCKET`. Imports what runs and dbt commands import, then forks them.

It has one thread and opens no connection, so that a fork is safe. A program starts with our modules as they were imported: when a file
of them has changed since, the program is started afresh instead, and the server starts itself again as soon as it has no children.
Who may connect may run programs as this user: the socket belongs to the user alone.
"""

import argparse
import gc
import importlib
import os
import random
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from local_stack.fork_server import client
from local_stack.fork_server.client import SIGNAL_EXIT_BASE, ForkServerError, receive, send
from local_stack.fork_server.dbt_code import generate_dbt_code

PROJECT_ROOT = Path(__file__).resolve().parent.parent.parent
# What a client may start: the console scripts of the environment.
PROGRAMS = {"dagster": ("dagster._cli", "main"), "dbt": ("dbt.cli.main", "cli")}
RECOVERY = ("platform_assets.recovery", "main")
# Not DuckDB and not delta-rs: both start threads when they are imported, and a fork has none of them.
PRELOADED = (
    "platform_assets.definitions",
    "platform_assets.recovery",
    "storage.publications",
    "dagster._cli",
    "dagster_postgres",
    "dbt.cli.main",
    "dbt.task.build",
    "dbt.adapters.sql",
)
REQUEST_SECONDS = 5.0


@dataclass
class Child:
    """A forked program. A name is a Dagster run's id; `connection` is the client's, when it stays attached."""

    pid: int
    name: str
    connection: socket.socket | None


@dataclass(frozen=True)
class Program:
    """What a fork is to become."""

    module: str
    function: str
    argv: list[str]
    environment: dict[str, str] | None
    directory: str | None
    fds: list[int] = field(default_factory=list)
    is_fresh: bool = True

    def become(self) -> None:
        """Runs in the fork, and ends as the program ends: by SystemExit or an exception, or by replacing the process."""
        for number, descriptor in enumerate(self.fds):
            os.dup2(descriptor, number)
            os.close(descriptor)
        if self.environment is not None:
            os.environ.clear()
            os.environ.update(self.environment)
        if self.directory:
            os.chdir(self.directory)
        if not self.is_fresh:
            code = f"import sys; sys.argv = {self.argv!r}; from {self.module} import {self.function}; {self.function}()"
            os.execv(sys.executable, [sys.executable, "-c", code])  # noqa: S606 - no shell is the point
        sys.argv = list(self.argv)
        sys.modules["__main__"].__package__ = None  # else click would name the program after this module
        random.seed()
        set_process_name(self.argv[0])
        getattr(importlib.import_module(self.module), self.function)()


def set_process_name(name: str) -> None:
    """What `ps` shows for the thread group, where the system has a way; the command line stays the server's."""
    if sys.platform == "linux":
        import ctypes

        set_name = 15  # PR_SET_NAME
        ctypes.CDLL(None).prctl(set_name, name.encode()[:15], 0, 0, 0)


def project_files(root: Path = PROJECT_ROOT) -> list[Path]:
    """Every file of ours that is imported, and the dbt manifest that the definitions are made from."""
    libraries = Path(sys.prefix)
    named = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    files = {Path(name) for name in named if name}
    ours = [file for file in files if file.is_relative_to(root) and not file.is_relative_to(libraries)]
    return [*sorted(ours), root / "dbt_project" / "target" / "manifest.json"]


def times_of_change(files: Sequence[Path]) -> list[int]:
    """In nanoseconds; 0 for a file that is gone."""
    return [file.stat().st_mtime_ns if file.exists() else 0 for file in files]


class ForkServer:
    """The loop. `serve` returns in a fork only, with what it is to become."""

    def __init__(self, listener: socket.socket, read_state: Callable[[], list[int]], restart: Callable[[], None]):
        self._listener = listener
        self._read_state = read_state
        self._state = read_state()
        self._restart = restart
        self._children: dict[int, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> Program:
        """Answers until it is killed."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    program = self._answer_next()
                    if program is not None:
                        return program
                elif key.fileobj is self._woken:
                    self._woken.recv(4096)
                    program = self._reap()
                    if program is not None:
                        return program
                elif key.data.connection is not None:  # else its program has ended, by an event of the same look
                    self._hear_client(key.data)
            if not self._children and self._read_state() != self._state:
                self._restart()

    def _answer_next(self) -> Program | None:
        connection, _ = self._listener.accept()
        # An inherited listener may not block, and then its connections would not either.
        connection.settimeout(REQUEST_SECONDS)
        try:
            request, fds = receive(connection)
        except (ForkServerError, OSError, ValueError):
            connection.close()
            return None
        try:
            if request["do"] == "start":
                return self._start(connection, request, fds)
            send(connection, self._answer(request))
        except (KeyError, TypeError, ValueError, OSError) as error:
            _send_if_there(connection, {"error": f"{type(error).__name__}: {error}"})
        for descriptor in fds:
            os.close(descriptor)
        connection.close()
        return None

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["name"]
        child = next((child for child in self._children.values() if child.name == name), None)
        if request["do"] == "signal":
            if child is not None:
                os.kill(child.pid, request["signal"])
            return {"delivered": child is not None}
        raise ValueError(f"unknown request {request['do']!r}")

    def _start(self, connection: socket.socket, request: dict[str, Any], fds: list[int]) -> Program | None:
        module, function = PROGRAMS[request["program"]]
        program = Program(
            module,
            function,
            [request["program"], *request["arguments"]],
            request.get("environment"),
            request.get("directory"),
            fds,
            is_fresh=self._read_state() == self._state,
        )
        child = self._fork(request.get("name", ""))
        if child is None:
            connection.close()
            return program
        for descriptor in fds:
            os.close(descriptor)
        _send_if_there(connection, {"pid": child.pid})
        if request.get("attached"):
            child.connection = connection
            self._selector.register(connection, selectors.EVENT_READ, child)
        else:
            connection.close()
        return None

    def _fork(self, name: str) -> Child | None:
        """The child, or None in it."""
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._leave()
            return None
        self._children[pid] = Child(pid, name, None)
        return self._children[pid]

    def _leave(self) -> None:
        """In the fork: gives back everything of the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        others = [child.connection for child in self._children.values() if child.connection is not None]
        for end in (self._listener, self._woken, self._waker, *others):
            end.close()
        self._children.clear()

    def _hear_client(self, child: Child) -> None:
        """A signal for the program, or the end of its client."""
        assert child.connection is not None
        try:
            numbers = child.connection.recv(64)
        except OSError:
            numbers = b""
        for number in numbers or bytes([signal.SIGKILL]):
            os.kill(child.pid, number)
        if not numbers:
            self._detach(child)

    def _reap(self) -> Program | None:
        """Takes leave of children that have ended. In a fork: what fails the run of one that ended badly, if it could not do so itself."""
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return None
            child = self._children.pop(pid, None)
            if child is None:  # a helper that an import had started before the server started itself again
                continue
            code = os.waitstatus_to_exitcode(status)
            if child.connection is not None:
                _send_if_there(child.connection, {"exit_code": SIGNAL_EXIT_BASE - code if code < 0 else code})
                self._detach(child)
            if child.name and code and self._fork("") is None:
                return Program(*RECOVERY, ["recovery", child.name], None, None)
        return None

    def _detach(self, child: Child) -> None:
        assert child.connection is not None
        self._selector.unregister(child.connection)
        child.connection.close()
        child.connection = None


def _send_if_there(connection: socket.socket, message: dict[str, Any]) -> None:
    """A client that has gone needs no answer; one that stays attached is noticed by its closed connection."""
    try:
        send(connection, message)
    except OSError:
        return


def listen(path: str) -> socket.socket:
    """The socket at the path, in place of a dead server's, for this user alone."""
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old_mask = os.umask(0o177)
    try:
        client.with_address(path, listener.bind)
    finally:
        os.umask(old_mask)
    listener.listen(128)
    return listener


def preload() -> None:
    """Imports it all, and lets forks share the memory."""
    for module in PRELOADED:
        importlib.import_module(module)
    from platform_assets.definitions import defs

    defs.get_repository_def().get_all_jobs()
    generate_dbt_code(PROJECT_ROOT / "dbt_project")
    if threading.active_count() > 1 or count_threads() > 1:
        sys.exit(
            f"fork server: one of {', '.join(PRELOADED)} starts a thread when it is imported; forks would not have it"
        )
    gc.collect()
    gc.freeze()


def count_threads() -> int:
    """Threads of this process, those of native libraries too. 1 where the system does not tell."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 1


def fail_dead_runs() -> None:
    """Runs of a predecessor, which died with it, give back their lane. In a fork: it needs the database."""
    pid = os.fork()
    if pid == 0:
        Program(*RECOVERY, ["recovery"], None, None).become()
        sys.exit(0)
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit("fork server: dead runs could not be failed; see above")


def main() -> None:
    """Serves. In a fork, becomes the program."""
    parser = argparse.ArgumentParser(description="Forks Dagster runs and dbt commands.")
    parser.add_argument("socket")
    parser.add_argument("--no-recovery", action="store_true", help="leave Dagster's runs as they are")
    parser.add_argument("--listen-fd", type=int, help="a socket that listens already")
    arguments = parser.parse_args()
    preload()
    if arguments.listen_fd is not None:
        listener = socket.socket(fileno=arguments.listen_fd)
    else:
        if not arguments.no_recovery:
            fail_dead_runs()
        listener = listen(arguments.socket)

    def restart() -> None:
        sys.stderr.write("fork server: our code has changed; starting again with it\n")
        os.set_inheritable(listener.fileno(), True)
        own = [sys.executable, "-m", "local_stack.fork_server.server", arguments.socket]
        os.execv(sys.executable, [*own, "--listen-fd", str(listener.fileno())])  # noqa: S606 - no shell is the point

    program = ForkServer(listener, partial(times_of_change, project_files()), restart).serve()
    program.become()


if __name__ == "__main__":
    main()
