"""Becomes another program that cannot outlive its parent. Run by file, with the standard library only, so that it starts in 15 ms.

`child.py PARENT_PID SIGNAL USER -- program arguments…` asks the kernel for SIGNAL when the parent dies, changes to USER (empty: stays), and
executes the program in its own place, keeping the process id. What the program starts itself is the guardian's business.

The program hears SIGINT, also where a shell started us in the background and had it ignored: a code server of Dagster would ignore SIGTERM
then too, which it handles as whatever stands for SIGINT.
"""

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def wrap(argv: Sequence[str], death_signal: int, user: str | None = None) -> list[str]:
    """The command line that runs `argv` under this launcher, with the calling process as its parent."""
    head = [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid())]  # noqa: PTH100 - keep imports few
    return [*head, str(int(death_signal)), user or "", "--", *argv]


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


def main() -> None:
    """Changes the user, ties itself to the parent and becomes the program."""
    parent_pid, death_signal, user, separator, *argv = sys.argv[1:]
    if separator != "--" or not argv:
        sys.exit("usage: child.py PARENT_PID SIGNAL USER -- program arguments…")
    if user:
        drop_to(user)
    die_with(int(parent_pid), int(death_signal))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execvp(argv[0], argv)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
