"""How a run stands back from the others."""

import os

NICENESS = 15


def stand_back() -> None:
    """Lowers the priority of this process, which is a run's own, and of all that it starts. Nobody waits for what the run does."""
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
