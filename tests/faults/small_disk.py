"""A file system of its own for a stack, which can be made full at any moment and given room again. Needs the right to mount."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

# At least what `tidemark up` asks for, and half of the memory where that is more: fifty kills of each take some millions of events.
# Only what is used counts.
SIZE = str(max(6 * 1024**3, psutil.virtual_memory().total // 2))
_FILL_TRIES = 50


class SmallDisk:
    """A tmpfs at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self) -> None:
        """From now on nothing more can be written: the file system is as large as what it holds.

        The kernel refuses a size below that, and it may have grown since it was asked for.
        """
        for tries_left in reversed(range(_FILL_TRIES)):
            try:
                self._remount(str(max(shutil.disk_usage(self.path).used, 4096)))
                return
            except subprocess.CalledProcessError:
                if not tries_left:
                    raise

    def free(self) -> None:
        """There is room again."""
        self._remount(SIZE)

    def _remount(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.path)], check=True, capture_output=True)


def may_mount() -> bool:
    """Whether this user may make a file system."""
    return os.geteuid() == 0


@contextmanager
def small_disk(path: Path) -> Iterator[SmallDisk]:
    """Mounted for as long as the block lasts. Raises: CalledProcessError where mounting is not allowed."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tidemark-faults", str(path)], check=True)
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
