"""How processes of a stack stand back from others when processors are short."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil


def stand_back(processes: Iterable[psutil.Process], niceness: int) -> None:
    """Lowers the priority of all threads of the processes; what they start from now on inherits it. None is raised.

    Where the kernel schedules sessions against each other, only the session's own value counts between them: it is set too.
    """
    for process in processes:
        for task in _list_tasks(process.pid):
            with suppress(OSError):  # a thread that has ended meanwhile
                os.setpriority(os.PRIO_PROCESS, task, max(niceness, os.getpriority(os.PRIO_PROCESS, task)))
        with suppress(OSError):  # a kernel that does not, or a process that has ended
            group = Path(f"/proc/{process.pid}/autogroup")
            group.write_text(str(max(niceness, int(group.read_text().split()[-1]))))


def _list_tasks(pid: int) -> list[int]:
    try:
        return [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
