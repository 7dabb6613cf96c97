"""Finds every process that belongs to a stack, however deep and whoever its parent is now, by a mark in its environment.

A child inherits the environment of its parent, so grandchildren in sessions of their own (Dagster's run workers, Spark's JVM) carry the
mark too. PostgreSQL's backends overwrite theirs; they end with their postmaster, which is tied to the supervisor by the kernel.
"""

import os
import time

import psutil

VARIABLE = "TIDEMARK_STACK_PROCESS"
CLEAN_SWEEPS = 2
PAUSE_SECONDS = 0.05


def mark(*parts: str) -> str:
    """Value of the variable for home, run and name; with fewer parts, the prefix of all that belong to them."""
    return "".join(f"{part}/" for part in parts)


def find_marked(prefix: str) -> list[psutil.Process]:
    """Living processes whose mark starts with the prefix; never the caller."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(VARIABLE, "").startswith(prefix):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def kill_marked(prefix: str, timeout_seconds: float = 10.0) -> int:
    """Kills them until two looks in a row find none: one that was forked meanwhile is found by the second. Gives how many it killed."""
    deadline = time.monotonic() + timeout_seconds
    killed: set[int] = set()
    clean = 0
    while clean < CLEAN_SWEEPS and time.monotonic() < deadline:
        found = find_marked(prefix)
        clean = 0 if found else clean + 1
        for process in found:
            try:
                process.kill()
                killed.add(process.pid)
            except psutil.Error:
                continue
        if clean < CLEAN_SWEEPS:
            time.sleep(PAUSE_SECONDS)
    return len(killed)
