"""Where a DuckDB session puts what does not fit in its memory: a folder of its own.

DuckDB names its spill files alike in every process and opens them without asking whether they are there: two sessions in one folder write
over each other's rows, and neither gets an error. A folder is its session's for as long as that holds the lock on the file beside it;
what a killed process left behind is removed when the next session begins.
"""

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

_SUFFIX = ".lock"


class SpillFolder:
    """A folder below `parent` that no other session is given, in this process or another. DuckDB makes it when it first needs it."""

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(parent)
        self._lock = -1
        while self._lock < 0:
            self.path = parent / uuid4().hex
            self._lock = _take(self.path.with_suffix(_SUFFIX))

    def close(self) -> None:
        """Removes it. Idempotent."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            _remove(self.path)
            os.close(lock)


def remove_abandoned(parent: Path) -> list[Path]:
    """Removes the folders whose owner has ended without doing so, and returns them."""
    removed = []
    for place in parent.glob(f"*{_SUFFIX}"):
        lock = _take(place)
        if lock >= 0:
            folder = place.with_suffix("")
            _remove(folder)
            os.close(lock)
            removed.append(folder)
    return removed


def _take(place: Path) -> int:
    """The open lock file, locked; -1 when another holds it, or has just removed it."""
    handle = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == place.stat().st_ino:
            return handle
    os.close(handle)
    return -1


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(_SUFFIX).unlink(missing_ok=True)
