"""A run that nobody waits for lowers its own process, and no process of somebody else."""

import subprocess
import sys

import pytest

REPORT = "import os; from platform_assets.priority import stand_back; stand_back(); stand_back(); print(os.nice(0))"


@pytest.mark.parametrize(
    ("arguments", "niceness"), [(("api", "execute_run", "{}"), "15"), ((), "2"), (("api", "grpc"), "2")]
)
def test_only_a_run_worker_stands_back_and_twice_is_once(arguments: tuple[str, ...], niceness: str) -> None:
    line = ["nice", "-n", "2", sys.executable, "-c", REPORT, *arguments]
    done = subprocess.run(line, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == niceness
