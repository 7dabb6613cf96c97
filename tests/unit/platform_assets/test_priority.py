"""A run that nobody waits for lowers its own process, and no process of somebody else."""

import os
import subprocess
import sys

import pytest

from platform_assets.priority import NICENESS

REPORT = "import os; from platform_assets.priority import stand_back; stand_back(); stand_back(); print(os.nice(0))"


@pytest.mark.parametrize(
    ("arguments", "stands_back"), [(("api", "execute_run", "{}"), True), ((), False), (("api", "grpc"), False)]
)
def test_only_a_run_worker_stands_back_and_twice_is_once(arguments: tuple[str, ...], stands_back: bool) -> None:
    line = ["nice", "-n", "2", sys.executable, "-c", REPORT, *arguments]
    done = subprocess.run(line, capture_output=True, text=True, timeout=30, check=True)
    before = os.nice(0) + 2
    assert int(done.stdout) == (max(before, NICENESS) if stands_back else before)
