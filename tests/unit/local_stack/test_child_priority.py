"""A child that stands back does so with all that it starts, and one that does not keeps its priority."""

import os
import signal
import subprocess
import sys

import pytest

from local_stack import child

REPORT = "import os, subprocess; print(os.nice(0)); subprocess.run(['nice'])"


@pytest.mark.parametrize("niceness", [0, 5])
def test_priority_is_inherited(niceness: int) -> None:
    argv = child.wrap([sys.executable, "-uc", REPORT], signal.SIGKILL, niceness=niceness)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True, start_new_session=True)
    expected = str(os.nice(0) + niceness)
    assert done.stdout.split() == [expected, expected]
