"""A crash point that is armed ends the process as kill -9 does, once; one that is not does nothing."""

import signal
import subprocess
import sys
from pathlib import Path

from runtime.crash_points import CrashPoint

CODE = """
import atexit
from runtime.crash_points import CrashPoint, reach
atexit.register(print, "left in order")
reach(CrashPoint.RUN_BUILT)
print("went on")
"""


def run(folder: Path | None) -> "subprocess.CompletedProcess[str]":
    environment = {} if folder is None else {"TIDEMARK_CRASH_POINTS_DIR": str(folder)}
    return subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False)


def test_it_dies_once_where_it_is_armed(tmp_path: Path) -> None:
    (tmp_path / CrashPoint.RUN_BUILT).touch()
    (tmp_path / CrashPoint.RUN_MARKED).touch()
    died, second = run(tmp_path), run(tmp_path)
    assert (died.returncode, died.stdout) == (-signal.SIGKILL, "")
    assert (second.returncode, second.stdout) == (0, "went on\nleft in order\n")
    assert [path.name for path in tmp_path.iterdir()] == [CrashPoint.RUN_MARKED]


def test_it_does_nothing_where_nobody_asked_for_it() -> None:
    assert run(None).returncode == 0
