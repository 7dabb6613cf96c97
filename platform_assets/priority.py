"""How a run stands back from the others."""

import os
import sys

NICENESS = 15


def stand_back() -> None:
    """Lowers the priority of a run's own process, and of all that it starts from now on: nobody waits for what the run does.

    A process that a run only is a guest of, as one that materialises assets by itself, keeps its priority.
    """
    if sys.argv[1:3] == ["api", "execute_run"]:
        os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
