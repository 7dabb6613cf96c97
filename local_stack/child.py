"""Becomes another program that cannot outlive its parent. Run by file, with the standard library only, so that it starts in 15 ms.

`child.py PARENT_PID SIGNAL NICENESS USER -- program arguments…` asks the kernel for SIGNAL when the parent dies, lowers its priority by
NICENESS, changes to USER (empty: stays), and executes the program in its own place, keeping the process id. What the program starts
itself is the guardian's business.
"""

import ctypes
import os
import pwd
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def wrap(argv: Sequence[str], death_signal: int, user: str | None = None, niceness: int = 0) -> list[str]:
    """The command line that runs `argv` under this launcher, with the calling process as its parent."""
    head = [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid())]  # noqa: PTH100 - keep imports few
    return [*head, str(int(death_signal)), str(niceness), user or "", "--", *argv]


def drop_to(user: str) -> None:
    """Gives up root for `user`, its group and no other groups."""
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def die_with(parent_pid: int, death_signal: int) -> None:
    """Asks for `death_signal` at the parent's death. After `drop_to`: a change of user clears the request."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit(f"child.py: parent {parent_pid} is already gone")


def yield_to_others(niceness: int) -> None:
    """Lowers the priority of this process and of all that it starts.

    Where the kernel schedules sessions against each other, only the session's own value counts between them; it needs one of its own.
    """
    os.nice(niceness)
    try:
        with open("/proc/self/autogroup", "w") as group:  # noqa: PTH123 - keep imports few
            group.write(str(niceness))
    except OSError:
        return


def main() -> None:
    """Changes priority and user, ties itself to the parent and becomes the program."""
    parent_pid, death_signal, niceness, user, separator, *argv = sys.argv[1:]
    if separator != "--" or not argv:
        sys.exit("usage: child.py PARENT_PID SIGNAL NICENESS USER -- program arguments…")
    if int(niceness):
        yield_to_others(int(niceness))
    if user:
        drop_to(user)
    die_with(int(parent_pid), int(death_signal))
    os.execvp(argv[0], argv)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
