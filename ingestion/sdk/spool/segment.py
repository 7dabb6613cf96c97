"""One file of a spool, and the lock that says whose the folder is. Knows bytes and offsets; what they mean is the store's."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from ingestion.sdk.errors import SpoolError, SpoolLockedError
from ingestion.sdk.spool.frames import MARK, Scan, scan

_OWNER_ONLY = 0o600  # events tell about people


class FolderLock:
    """Held from construction to `release`, or to the end of the process however it comes."""

    def __init__(self, folder: Path) -> None:
        """Raises: SpoolLockedError, OSError."""
        self._file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._file, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            message = (
                f"the spool {folder} is in use by process {owner}; one client at a time, each with a path of its own"
            )
            raise SpoolLockedError(message) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Closes the file. In a forked child this leaves the parent's lock as it is."""
        os.close(self._file)


class Segment:
    """Frames are added at the end only. `live` counts its events that still wait, `live_bytes` what they take."""

    def __init__(self, path: Path, *, syncs: bool) -> None:
        """Opens or makes the file. Raises: SpoolError, OSError."""
        self.path = path
        self.live = self.live_bytes = 0
        self._syncs = syncs
        is_fresh = not path.exists()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY)
        self.size_bytes = os.fstat(self._file).st_size
        if self.size_bytes < len(MARK):  # also what a crash left of one that was being made
            self.size_bytes = 0
            self.write(MARK)
        elif os.pread(self._file, len(MARK), 0) != MARK:
            os.close(self._file)
            raise SpoolError(f"{path} is not a spool's segment: it does not begin with {MARK.decode()}")
        if is_fresh and syncs:
            _sync_folder(path.parent)

    @property
    def is_blank(self) -> bool:
        """True when it holds no frame."""
        return self.size_bytes == len(MARK)

    def scan(self) -> Scan:
        """All whole frames; the rest is cut off the file. Raises: OSError."""
        found = scan(os.pread(self._file, self.size_bytes, 0))
        if found.whole_bytes < self.size_bytes:
            os.ftruncate(self._file, found.whole_bytes)
            self.size_bytes = found.whole_bytes
        return found

    def write(self, frame: bytes) -> int:
        """The offset at which the whole frame is. Raises: SpoolError; then nothing of it counts."""
        offset = self.size_bytes
        try:
            if os.pwrite(self._file, frame, offset) != len(frame):
                raise OSError(errno.ENOSPC, "written in part only")
            if self._syncs:
                os.fdatasync(self._file)
        except OSError as error:
            # The next frame goes to the same place, so that a rest which cannot be cut off does no harm either.
            with suppress(OSError):
                os.ftruncate(self._file, offset)
            raise SpoolError(f"cannot write to {self.path}: {error.strerror}") from error
        self.size_bytes = offset + len(frame)
        return offset

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Raises: SpoolError."""
        try:
            raw = os.pread(self._file, size_bytes, offset)
        except OSError as error:
            raise SpoolError(f"cannot read {self.path}: {error.strerror}") from error
        if len(raw) != size_bytes:
            raise SpoolError(f"{self.path} was cut by somebody else")
        return raw

    def empty(self) -> None:
        """Forgets all frames. Raises: OSError."""
        os.ftruncate(self._file, len(MARK))
        self.size_bytes = len(MARK)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def delete(self) -> None:
        """Closes and removes the file."""
        self.close()
        self.path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """A file's name is on disk only after this."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
