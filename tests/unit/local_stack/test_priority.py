"""A process that stands back does so with its threads, with what it has started and with what it starts."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from local_stack.priority import stand_back

PROGRAM = """
import os, subprocess, sys, threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(child.pid, flush=True)
sys.stdin.readline()
subprocess.run(["nice"])
child.kill()
"""


def priorities(pid: int) -> set[int]:
    return {os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in Path(f"/proc/{pid}/task").iterdir()}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="priorities of threads are Linux's")
def test_all_threads_and_children_stand_back_and_none_comes_forward() -> None:
    before = os.nice(0)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        for niceness in (before + 3, before + 1):
            stand_back([psutil.Process(process.pid), psutil.Process(child)], niceness)
        assert priorities(process.pid) == priorities(child) == {before + 3}
        groups = [Path(f"/proc/{pid}/autogroup") for pid in (process.pid, child)]
        assert {group.read_text().split()[-1] for group in groups if group.exists()} <= {str(before + 3)}
        answer, _ = process.communicate("\n", timeout=30)
        assert answer.split() == [str(before + 3)]


def test_a_process_that_is_gone_is_passed_over() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        gone = psutil.Process(process.pid)
    time.sleep(0.01)
    stand_back([gone], 3)
