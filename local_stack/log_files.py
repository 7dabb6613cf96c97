"""The log files of supervised processes: opening, bounding, reading their ends."""

import shutil
from pathlib import Path
from typing import BinaryIO

LARGEST_BYTES = 64 * 1024 * 1024
TAIL_BYTES = 64 * 1024


def open_log(path: Path) -> BinaryIO:
    """Opens for appending, as a child's output must be, so that `bound` may cut it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def bound(path: Path, largest_bytes: int = LARGEST_BYTES) -> None:
    """Copies a log that has grown too large to `NAME.log.1` and empties it; its writer goes on. A few lines may fall between.

    Without room for the copy the log stays as it is.
    """
    try:
        if path.stat().st_size <= largest_bytes:
            return
        shutil.copyfile(path, path.with_name(path.name + ".1"))
        with path.open("r+b") as log:
            log.truncate(0)
    except OSError:
        return


def tail(path: Path, line_count: int) -> list[str]:
    """The last lines, oldest first; empty when there is no log."""
    try:
        with path.open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - max(TAIL_BYTES, line_count * 400)))
            lines = log.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return lines[-line_count:] if line_count else []


def last_line(path: Path) -> str:
    """The last line that says something, cut to 300 characters."""
    return next((line.strip()[:300] for line in reversed(tail(path, 40)) if line.strip()), "(no output)")
