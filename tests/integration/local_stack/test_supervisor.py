"""The supervisor with real, tiny processes: order, restarts, loops, stopping, and nothing left behind however it ends."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from local_stack.errors import StartError
from local_stack.lifecycle import stop, wait_until_ready
from local_stack.marks import find_marked, mark
from local_stack.settings import StackSettings
from local_stack.status_file import ProcessStatus, StackStatus, read_status
from local_stack.waiting import wait_until

pytestmark = pytest.mark.integration

Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    return StackSettings(home=tmp_path / "home")


@pytest.fixture
def start(settings: StackSettings) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def run(table: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "tests.integration.local_stack.dummy_stack", str(settings.home), table]
        started.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
    wait_until(lambda: not left_over(settings), "the guardian to clean up", 30)


def left_over(settings: StackSettings) -> list[psutil.Process]:
    return find_marked(mark(settings.home_id))


def guardians(supervisor: subprocess.Popen[bytes]) -> list[psutil.Process]:
    children = psutil.Process(supervisor.pid).children()
    living = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in living if "local_stack.guardian" in child.cmdline()]


def wait_for(
    settings: StackSettings, is_true: Callable[[StackStatus], bool], timeout_seconds: float = 30
) -> StackStatus:
    wait_until(lambda: is_true(read_status(settings)), "the stack's status", timeout_seconds, pause_seconds=0.05)
    return read_status(settings)


def find(status: StackStatus, name: str) -> ProcessStatus:
    return next(process for process in status.processes if process.name == name)


def is_ready(status: StackStatus) -> bool:
    return status.state == "ready"


@pytest.mark.feature("S0-20")
def test_a_crashed_process_is_started_again(settings: StackSettings, start: Start) -> None:
    start("crash_once")
    status = wait_for(settings, lambda found: is_ready(found) and find(found, "flaky").restarts > 0)
    assert find(status, "flaky").restarts == 1


def test_a_killed_process_is_replaced_and_what_it_started_is_gone(settings: StackSettings, start: Start) -> None:
    start("tree")
    first = find(wait_for(settings, is_ready), "tree").pid
    wait_until(lambda: len(left_over(settings)) == 4, "base, tree, its child and grandchild", 10)
    before = {process.pid for process in left_over(settings)}
    assert first is not None
    psutil.Process(first).kill()
    wait_for(settings, lambda found: find(found, "tree").state == "ready" and find(found, "tree").pid != first)
    wait_until(lambda: len(left_over(settings)) == 4, "the new tree", 10)
    assert len(before & {process.pid for process in left_over(settings)}) == 1  # base alone


def test_a_status_that_cannot_be_written_ends_nothing_and_is_told_later(settings: StackSettings, start: Start) -> None:
    """As on a full disk, where services die and somebody must be there to start them again."""
    supervisor = start("tree")
    first = find(wait_for(settings, is_ready), "tree").pid
    assert first is not None
    wait_until(lambda: len(left_over(settings)) == 4, "base, tree, its child and grandchild", 10)
    in_the_way = settings.status_file.with_name(f"{settings.status_file.name}.{supervisor.pid}")
    in_the_way.mkdir()
    psutil.Process(first).kill()
    wait_until(
        lambda: len(left_over(settings)) == 4 and first not in {process.pid for process in left_over(settings)},
        "a new tree",
        30,
    )
    assert find(read_status(settings), "tree").pid == first, "nobody could tell yet"
    in_the_way.rmdir()
    wait_for(settings, lambda found: find(found, "tree").state == "ready" and find(found, "tree").pid != first)


def test_a_crash_loop_is_reported(settings: StackSettings, start: Start) -> None:
    supervisor = start("loop")
    with pytest.raises(StartError, match="crash_looping, exit 1: always"):
        wait_until_ready(settings, supervisor, lambda _: None, timeout_seconds=60)
    assert find(read_status(settings), "loop").restarts >= 5


def test_a_failed_step_ends_the_start_and_stops_the_rest(settings: StackSettings, start: Start) -> None:
    supervisor = start("failing_task")
    assert supervisor.wait(20) == 1
    assert read_status(settings).state == "failed"
    assert not left_over(settings)


def test_killing_the_supervisor_leaves_no_orphan(settings: StackSettings, start: Start) -> None:
    supervisor = start("tree")
    wait_for(settings, is_ready)
    wait_until(lambda: len(left_over(settings)) == 4, "base, tree, its child and grandchild", 10)
    supervisor.kill()
    wait_until(lambda: not left_over(settings), "every descendant to be gone", 10)
    assert read_status(settings).state == "stopped"


def test_a_killed_guardian_is_replaced(settings: StackSettings, start: Start) -> None:
    supervisor = start("tree")
    wait_for(settings, is_ready)
    (first,) = guardians(supervisor)
    first.kill()
    wait_until(lambda: guardians(supervisor) not in ([], [first]), "a new guardian", 10)
    supervisor.kill()
    wait_until(lambda: not left_over(settings), "every descendant to be gone", 10)


def test_a_signal_stops_all_in_time_even_what_is_deaf_to_it(settings: StackSettings, start: Start) -> None:
    supervisor = start("deaf")
    wait_for(settings, is_ready)
    started = time.monotonic()
    supervisor.terminate()
    assert supervisor.wait(20) == 0
    assert time.monotonic() - started < 20
    assert not left_over(settings)
    assert read_status(settings).state == "stopped"


def test_dependents_stop_before_what_they_depend_on(settings: StackSettings, start: Start) -> None:
    supervisor = start("tree")
    wait_for(settings, is_ready)
    assert stop(settings)
    assert not stop(settings)
    assert supervisor.wait(5) == 0
    assert supervisor.stderr is not None
    assert not left_over(settings)


def test_starting_twice_says_so(settings: StackSettings, start: Start) -> None:
    start("tree")
    wait_for(settings, is_ready)
    second = start("tree")
    assert second.wait(20) != 0
    assert second.stderr is not None
    assert b"a stack runs already" in second.stderr.read()
    assert read_status(settings).state == "ready"


def test_what_a_killed_run_left_behind_is_killed_at_the_next_start(settings: StackSettings, start: Start) -> None:
    supervisor = start("tree")
    wait_for(settings, is_ready)
    before = {process.pid for process in left_over(settings)}
    (guardian,) = guardians(supervisor)
    guardian.suspend()
    try:
        supervisor.kill()
        supervisor.wait()
        start("tree")
        wait_for(settings, is_ready)
        assert not before & {process.pid for process in left_over(settings)}
    finally:
        guardian.kill()
