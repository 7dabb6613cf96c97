"""A stack whose crash points can be armed, on a disk that can be full where mounting one is allowed."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.stack import Stack
from tests.faults.small_disk import SmallDisk, may_mount, small_disk


@dataclass(frozen=True)
class FaultStack:
    """A running stack and what faults need of it."""

    stack: Stack
    crash_points_dir: Path
    disk: SmallDisk | None


@contextmanager
def fault_stack(home: Path, port_offset: int, crash_points_dir: Path) -> Iterator[FaultStack]:
    """Up, and down whatever happens."""
    crash_points_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as closing:
        disk = closing.enter_context(small_disk(home)) if may_mount() else None
        stack = Stack(home, port_offset, settings={"TIDEMARK_CRASH_POINTS_DIR": str(crash_points_dir)})
        closing.callback(stack.down)
        stack.up()
        yield FaultStack(stack, crash_points_dir, disk)
