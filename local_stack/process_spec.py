"""What the supervisor must know of one process. The table of the stack's processes: `local_stack.processes`."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_stack.health import Alive, HealthCheck


@dataclass(frozen=True)
class ProcessSpec:
    """One supervised process. A task runs once and must end with 0; a service runs until it is stopped."""

    name: str
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    health: HealthCheck = field(default_factory=Alive)
    # Names of what must have been ready once before the first start. Stopping goes the other way round.
    after: tuple[str, ...] = ()
    is_task: bool = False
    user: str | None = None
    # How far it stands back when processors are short, 0 to 19, once it is ready, with all that it has started: starting, it is waited for.
    niceness: int = 0
    # Quick work in the supervisor before every start, e.g. removing the lock of a killed server.
    prepare: Callable[[], None] | None = None
    # Far above what a start takes: killing a slow start on a busy machine only makes it slower.
    start_timeout_seconds: float = 300.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_seconds: float = 4.0
    death_signal: signal.Signals = signal.SIGKILL


def order_by_dependency(specs: list[ProcessSpec]) -> list[ProcessSpec]:
    """The specs with every process behind what it comes after; otherwise in the given order.

    Raises: ValueError for an unknown name or a circle.
    """
    by_name = {spec.name: spec for spec in specs}
    unknown = {name for spec in specs for name in spec.after} - by_name.keys()
    if unknown:
        raise ValueError(f"processes wait for {sorted(unknown)}, which nobody starts")
    ordered: list[ProcessSpec] = []
    placed: set[str] = set()
    while len(ordered) < len(specs):
        ready = [spec for spec in specs if spec.name not in placed and placed.issuperset(spec.after)]
        if not ready:
            raise ValueError(f"these processes wait for one another: {sorted(by_name.keys() - placed)}")
        ordered += ready
        placed.update(spec.name for spec in ready)
    return ordered


def dependents(specs: list[ProcessSpec]) -> dict[str, frozenset[str]]:
    """For every process, all that come after it, directly or not: they stop before it does."""
    direct = {spec.name: {other.name for other in specs if spec.name in other.after} for spec in specs}
    result: dict[str, frozenset[str]] = {}
    for spec in reversed(order_by_dependency(specs)):
        names = direct[spec.name]
        result[spec.name] = frozenset(names.union(*(result[name] for name in names)))
    return result
