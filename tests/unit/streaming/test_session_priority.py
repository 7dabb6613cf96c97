"""The JVM of a driver that stands back stands back too, where the kernel schedules sessions against each other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPORT = """
import os, subprocess
from pathlib import Path
from streaming.session import keep_niceness
os.nice(3)
other = subprocess.Popen(["sleep", "30"], start_new_session=True)
group = Path(f"/proc/{other.pid}/autogroup")
before = group.read_text().split()[-1]
keep_niceness(other.pid)
print(before, group.read_text().split()[-1])
other.kill()
"""


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel does not schedule by session")
def test_a_new_session_gets_the_niceness_of_its_starter() -> None:
    done = subprocess.run(
        [sys.executable, "-c", REPORT], capture_output=True, text=True, timeout=60, check=True, start_new_session=True
    )
    assert done.stdout.split() == ["0", str(os.nice(0) + 3)]
