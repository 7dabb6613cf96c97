"""Where downloaded parts are kept, outside the tree, so that a second checkout is instant; and the lock that guards them.

Reads TIDEMARK_CACHE itself because it is needed before any settings of a home exist.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_dir() -> Path:
    """`$TIDEMARK_CACHE`, else `~/.cache/tidemark`. Made when missing."""
    folder = Path(os.environ.get("TIDEMARK_CACHE") or Path.home() / ".cache" / "tidemark").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def exclusive(lock_file: Path) -> Iterator[None]:
    """Holds the lock file; waits for another process that holds it. A killed holder lets go."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
