"""kill -9 under load: everything comes back by itself within a minute, nothing is lost, nothing counts twice."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from tests.e2e.stack import Stack, wait_until

RECOVERY_SECONDS = 60
SETTLE_SECONDS = 600
RATE = 300
LOAD_SECONDS = 40
INLET_BATCH_RECORDS = 20
INLET_PAUSE_SECONDS = 0.2
VICTIMS = (
    "broker",
    "ingestion",
    "land_bronze",
    "realtime_windows",
    "daemon",
    "code_server",
    "fork_server",
    "postgres",
    "serving",
    "download_bridge",
    "hot_store_worker_1",
)


def start_load(stack: Stack, seed: int) -> "subprocess.Popen[str]":
    """Sends a stream that occurred a month ago, so that every run is of the late lane and other tests' hours stay theirs.

    No malformed lines: one of their kinds lies two days after the anchor, which is not the future here.
    """
    anchor = (datetime.now(UTC) - timedelta(days=30, minutes=seed)).isoformat()
    count = str(RATE * LOAD_SECONDS)
    shares = ("--duplicates", "0.03", "--late", "0.05")
    return stack.start("send", "--events", count, "--rate", str(RATE), "--seed", str(seed), "--anchor", anchor, *shares)


class InletLoad(threading.Thread):
    """A client that writes downloads to the inlet itself, all the while, and waits for the broker's word on each."""

    def __init__(self, stack: Stack, seed: int) -> None:
        super().__init__(daemon=True)
        self._prefix = f"kill-{seed}-"
        self._occurred_at = datetime.now(UTC) - timedelta(days=30, minutes=seed)
        self._stack = stack
        self._inlet = stack.open_inlet()
        self._is_stopping = threading.Event()
        self._sent: list[str] = []
        self.start()

    def run(self) -> None:
        while not self._is_stopping.wait(INLET_PAUSE_SECONDS):
            event_ids = [f"{self._prefix}{len(self._sent) + number}" for number in range(INLET_BATCH_RECORDS)]
            self._inlet.send(event_ids, self._occurred_at)
            self._sent += event_ids

    def finish(self) -> None:
        """The broker has them all."""
        self._is_stopping.set()
        self.join(120)
        assert not self.is_alive()

    def verify(self) -> None:
        """Once settled each is published once."""
        query = "select count(*), count(distinct event_id) from lake.silver.events where starts_with(event_id, $1)"
        assert self._stack.published_rows(query, self._prefix) == [(len(self._sent), len(self._sent))]


def kill_tree(pid: int) -> None:
    """kill -9 of a process and its children at once (the Spark driver is a Python process and its JVM)."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        _kill(process.pid)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def kill(stack: Stack, name: str) -> None:
    """Kills a service: the Spark driver and PostgreSQL with their children, a fork server alone (its runs go with it)."""
    pid = stack.processes()[name]["pid"]
    if name in ("land_bronze", "realtime_windows", "postgres"):
        kill_tree(pid)
    else:
        _kill(pid)


def run_process(stack: Stack) -> int | None:
    """A Dagster run in progress: a child of the fork server."""
    for child in psutil.Process(stack.processes()["fork_server"]["pid"]).children():
        try:
            if child.name() == "dagster":
                return int(child.pid)
        except psutil.NoSuchProcess:
            continue
    return None


def wait_for_recovery(stack: Stack, killed: Iterable[str], old: dict[str, int]) -> None:
    """Every killed service has a new process and is ready, and both APIs answer."""

    def is_back() -> bool:
        found = stack.processes()
        restarted = all(found[name]["pid"] not in (None, old[name]) for name in killed)
        return restarted and all(item["state"] == "ready" for item in found.values())

    wait_until(is_back, RECOVERY_SECONDS, f"{', '.join(killed)} ready again", interval=1)
    wait_until(lambda: stack.get("/health"), RECOVERY_SECONDS, "the analytics API is not unhealthy", 1)


def finish_load(load: "subprocess.Popen[str]") -> None:
    """The sender got every line answered, by its own retries."""
    _, talk = load.communicate(timeout=300)
    assert load.returncode == 0, talk[-3000:]


@pytest.mark.slow
@pytest.mark.feature("S0-5", "S0-10", "K3")
@pytest.mark.parametrize("name", VICTIMS)
def test_a_killed_service_comes_back_and_nothing_is_lost(running_stack: Stack, name: str) -> None:
    stack, seed = running_stack, 100 + VICTIMS.index(name)
    load, downloads = start_load(stack, seed), InletLoad(stack, seed)
    time.sleep(5)
    old = {name: stack.processes()[name]["pid"]}
    kill(stack, name)
    wait_for_recovery(stack, [name], old)
    finish_load(load)
    downloads.finish()
    stack.settle(SETTLE_SECONDS)
    stack.verify()
    downloads.verify()


@pytest.mark.slow
@pytest.mark.feature("K3", "K4")
def test_a_killed_run_leaves_its_hours_due(running_stack: Stack) -> None:
    stack = running_stack
    load = start_load(stack, seed=200)
    pid = wait_until(lambda: run_process(stack), 90, "a run is in progress", interval=0.2)
    kill_tree(pid)
    finish_load(load)
    stack.settle(SETTLE_SECONDS)
    stack.verify()


@pytest.mark.slow
@pytest.mark.feature("S0-5", "S0-10", "K3")
def test_everything_killed_at_once_comes_back(running_stack: Stack) -> None:
    stack = running_stack
    load, downloads = start_load(stack, seed=300), InletLoad(stack, seed=300)
    time.sleep(5)
    found = stack.processes()
    old = {name: item["pid"] for name, item in found.items()}
    trees = [process for pid in old.values() for process in psutil.Process(pid).children(recursive=True)]
    for pid in [*old.values(), *(process.pid for process in trees)]:
        _kill(pid)
    wait_for_recovery(stack, list(old), old)
    finish_load(load)
    downloads.finish()
    stack.settle(SETTLE_SECONDS)
    stack.verify()
    downloads.verify()
