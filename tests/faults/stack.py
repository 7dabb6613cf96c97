"""A stack whose crash points can be armed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.stack import Stack


@contextmanager
def fault_stack(home: Path, port_offset: int, crash_points_dir: Path) -> Iterator[Stack]:
    """Up, and down whatever happens."""
    crash_points_dir.mkdir(parents=True, exist_ok=True)
    stack = Stack(home, port_offset, settings={"TIDEMARK_CRASH_POINTS_DIR": str(crash_points_dir)})
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
