"""kill -9 under load: everything comes back by itself within a minute, nothing is lost, nothing counts twice."""

import signal
import subprocess
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from tests.e2e.inlet_load import InletLoad
from tests.e2e.stack import Stack, wait_until
from tests.e2e.victims import find_run, kill_service, send_signal, signal_tree

RECOVERY_SECONDS = 60
SETTLE_SECONDS = 600
RATE = 300
LOAD_SECONDS = 40
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
    load, downloads = start_load(stack, seed), InletLoad(stack, f"kill-{seed}", seed)
    time.sleep(5)
    old = {name: stack.processes()[name]["pid"]}
    kill_service(name, old[name])
    wait_for_recovery(stack, [name], old)
    finish_load(load)
    downloads.finish()
    stack.settle(SETTLE_SECONDS)
    stack.verify()
    sent, *published = downloads.published()
    assert published == [sent, sent]


@pytest.mark.slow
@pytest.mark.feature("K3", "K4")
def test_a_killed_run_leaves_its_hours_due(running_stack: Stack) -> None:
    stack = running_stack
    load = start_load(stack, seed=200)
    pid = wait_until(
        lambda: find_run(stack.processes()["fork_server"]["pid"]), 90, "a run is in progress", interval=0.2
    )
    signal_tree(pid, signal.SIGKILL)
    finish_load(load)
    stack.settle(SETTLE_SECONDS)
    stack.verify()


@pytest.mark.slow
@pytest.mark.feature("S0-5", "S0-10", "K3")
def test_everything_killed_at_once_comes_back(running_stack: Stack) -> None:
    stack = running_stack
    load, downloads = start_load(stack, seed=300), InletLoad(stack, "kill-300", 300)
    time.sleep(5)
    found = stack.processes()
    old = {name: item["pid"] for name, item in found.items()}
    trees = [process for pid in old.values() for process in psutil.Process(pid).children(recursive=True)]
    for pid in [*old.values(), *(process.pid for process in trees)]:
        send_signal(pid, signal.SIGKILL)
    wait_for_recovery(stack, list(old), old)
    finish_load(load)
    downloads.finish()
    stack.settle(SETTLE_SECONDS)
    stack.verify()
    sent, *published = downloads.published()
    assert published == [sent, sent]
