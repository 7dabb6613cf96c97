"""Processes of a running stack, and the signals that are sent to them."""

import os
import signal
from contextlib import suppress

import psutil

from platform_assets.priority import NICENESS

# Killed alone, their children would go on for a moment: the JVM of a driver, the backends of PostgreSQL.
WITH_CHILDREN = ("land_bronze", "realtime_windows", "postgres")


def kill_service(name: str, pid: int) -> None:
    """kill -9 of a service, with its children where these would outlive it; a fork server alone (its runs go with it)."""
    if name in WITH_CHILDREN:
        signal_tree(pid, signal.SIGKILL)
    else:
        send_signal(pid, signal.SIGKILL)


def signal_tree(pid: int, number: signal.Signals) -> bool:
    """Signals a process and its children at once. False when it was gone."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return False
    is_there, *_ = [send_signal(process.pid, number) for process in family]
    return is_there


def send_signal(pid: int, number: signal.Signals) -> bool:
    """Signals one process. False when it was gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def find_run(fork_server_pid: int) -> int | None:
    """A run in progress that publishes: a child of the fork server that does not stand back, as docs and compactions do."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(fork_server_pid).children():
            with suppress(psutil.NoSuchProcess):
                if child.name() == "dagster" and child.nice() < NICENESS:
                    return int(child.pid)
    return None
