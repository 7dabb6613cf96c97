"""The nemesis: what is done to a running stack, in a seeded order, each fault healed before the next one.

A fault ends when its target is back and everything is ready. A killed service is back as a new process that is ready; a killed run when
another one publishes in its place, and how long it took until there was a publication is noted beside it. What is paused, or dies at a
point of a run, is back with the next publication. Times are measured from the signal.
"""

import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from local_stack.settings import StackSettings
from local_stack.status_file import ProcessStatus, read_status
from runtime.crash_points import CrashPoint
from tests.e2e.stack import Stack, wait_until
from tests.e2e.victims import find_run, kill_service, signal_tree
from tests.faults.small_disk import SmallDisk

RUN = "run"
KILLED = (
    "broker",
    "ingestion",
    "land_bronze",
    "hot_store_worker_1",
    "daemon",
    "code_server",
    "serving",
    "postgres",
    "realtime_windows",
    RUN,
)
# Longer than the sessions of the consumer groups (6 s) and of the broker (5 s).
PAUSE_SECONDS = 8.0
PAUSED = ("broker", "ingestion", "land_bronze", "hot_store_worker_1", "postgres", RUN)
# What dies at the others is a Dagster run, which no supervisor starts again.
_POINTS_OF_SERVICES = ("ingestion.", "landing.", "windows.", "bridge.", "hot_store.")
# Bounds, so that a run ends; how long it really took is in the verdict, and whether that is too long is its reader's to say.
REACH_SECONDS = 300.0
RECOVERY_SECONDS = 300.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Fault:
    """One thing to do: `kill` (-9), `pause` (SIGSTOP, SIGCONT), `crash` (die at a named point) or `fill` (the disk)."""

    kind: str
    target: str


@dataclass(frozen=True)
class Injected:
    """A fault that was done: when, in seconds from the start, and how long until its target was back.

    `published_seconds`: of a killed run, how long until the next publication.
    """

    kind: str
    target: str
    at_seconds: float
    recovery_seconds: float
    published_seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Done:
    """When a fault was done, and when its target was back, where that is not when everything is ready."""

    signalled: float
    back: float | None = None


def make_schedule(seed: int, rounds: int, *, disk: bool = False) -> list[Fault]:
    """Every target killed once a round, and over all rounds every pause and every crash point once; the order follows from the seed.

    With `disk` it is full once a round.
    """
    chance = random.Random(seed)
    others = [Fault("pause", target) for target in PAUSED] + [Fault("crash", point.value) for point in CrashPoint]
    others += [Fault("fill", "disk")] * (rounds if disk else 0)
    chance.shuffle(others)
    schedule: list[Fault] = []
    for number in range(rounds):
        part = [Fault("kill", target) for target in KILLED] + others[number::rounds]
        chance.shuffle(part)
        schedule += part
    return schedule


class Nemesis:
    """Does faults to one stack. The stack must have been started with `crash_points_dir` in its environment for crash points."""

    def __init__(
        self,
        stack: Stack,
        crash_points_dir: Path,
        disk: SmallDisk | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._stack = stack
        self._disk = disk
        self._settings = StackSettings(home=stack.home, port_offset=stack.port_offset)
        self._crash_points_dir = crash_points_dir
        self._progress = progress
        self._analytics = httpx.Client(base_url=stack.endpoints["analytics"], timeout=5)
        self._started = time.monotonic()
        self.injected: list[Injected] = []

    def run(self, schedule: Sequence[Fault]) -> None:
        """One fault after the other. Raises: CommandError when a target is not back in time, or a point is never reached."""
        self._started = time.monotonic()
        for number, fault in enumerate(schedule, 1):
            at = time.monotonic()
            do = {"kill": self._kill, "pause": self._pause, "crash": self._crash, "fill": self._fill}[fault.kind]
            done = do(fault.target)
            wait_until(self._is_whole, RECOVERY_SECONDS, f"everything ready after {fault}", _POLL_SECONDS)
            whole = time.monotonic() - done.signalled
            back = whole if done.back is None else done.back - done.signalled
            published = None if done.back is None else round(whole, 1)
            self.injected.append(
                Injected(fault.kind, fault.target, round(at - self._started, 1), round(back, 1), published)
            )
            self._progress(
                f"{number} of {len(schedule)}: {fault.kind} {fault.target}, back after {back:.1f} s, all ready after {whole:.1f} s"
            )

    def _kill(self, target: str) -> _Done:
        if target == RUN:
            return self._kill_run()
        pid = self._service(target).pid
        assert pid is not None
        signalled = time.monotonic()
        kill_service(target, pid)
        wait_until(
            lambda: self._service(target).pid not in (None, pid),
            RECOVERY_SECONDS,
            f"{target} has a new process",
            _POLL_SECONDS,
        )
        return _Done(signalled)

    def _kill_run(self) -> _Done:
        before, pid = self._hit_run(signal.SIGKILL)
        signalled = time.monotonic()
        wait_until(
            lambda: self._find_run() not in (None, pid), RECOVERY_SECONDS, "another run publishes", _POLL_SECONDS
        )
        back = time.monotonic()
        self._wait_for_publication(before + 1)
        return _Done(signalled, back)

    def _hit_run(self, number: signal.Signals) -> tuple[int, int]:
        """The newest publication before it, and the run that was hit: one that ended meanwhile is none."""
        while True:
            before, pid = self._note_publication(), self._wait_for_run()
            if signal_tree(pid, number):
                return before, pid

    def _pause_run(self) -> _Done:
        before, pid = self._hit_run(signal.SIGSTOP)
        time.sleep(PAUSE_SECONDS)
        signal_tree(pid, signal.SIGCONT)
        continued = time.monotonic()
        self._wait_for_publication(before + 1)
        return _Done(continued)

    def _pause(self, target: str) -> _Done:
        """Done with SIGCONT. The supervisor may have ended the silent process meanwhile: then the new one counts."""
        if target == RUN:
            return self._pause_run()
        pid = self._service(target).pid
        assert pid is not None
        assert signal_tree(pid, signal.SIGSTOP), f"{target} was gone before it could be paused"
        time.sleep(PAUSE_SECONDS)
        signal_tree(pid, signal.SIGCONT)
        return _Done(time.monotonic())

    def _fill(self, _: str) -> _Done:
        """Done when there is room again. Whatever could not write may have died, and more than once."""
        assert self._disk is not None, "the stack has no disk of its own"
        self._disk.fill()
        time.sleep(PAUSE_SECONDS)
        self._disk.free()
        freed = time.monotonic()
        before = self._note_publication()
        wait_until(
            lambda: self._is_whole() and self._newest_publication() > before,
            RECOVERY_SECONDS,
            "everything ready and a publication after the disk was full",
        )
        return _Done(freed)

    def _crash(self, target: str) -> _Done:
        armed = self._crash_points_dir / target
        before = {name: status.pid for name, status in self._services().items()}
        publication = self._note_publication()
        armed.touch()
        wait_until(lambda: not armed.exists(), REACH_SECONDS, f"crash point {target} is reached", _POLL_SECONDS)
        signalled = time.monotonic()
        if target.startswith(_POINTS_OF_SERVICES):
            wait_until(
                lambda: any(status.pid not in (None, before[name]) for name, status in self._services().items()),
                RECOVERY_SECONDS,
                f"what died at {target} has a new process",
                _POLL_SECONDS,
            )
        else:
            is_committed = target in (CrashPoint.PUBLICATION_COMMITTED, CrashPoint.RUN_MARKED)
            self._wait_for_publication(publication + (2 if is_committed else 1))
        return _Done(signalled)

    def _services(self) -> dict[str, ProcessStatus]:
        return {item.name: item for item in read_status(self._settings).processes if not item.is_task}

    def _service(self, name: str) -> ProcessStatus:
        return self._services()[name]

    def _is_whole(self) -> bool:
        services = self._services()
        return bool(services) and all(item.state == "ready" for item in services.values())

    def _wait_for_run(self) -> int:
        return int(wait_until(self._find_run, REACH_SECONDS, "a run is in progress", _POLL_SECONDS))

    def _find_run(self) -> int | None:
        pid = self._service("fork_server").pid
        return None if pid is None else find_run(pid)

    def _wait_for_publication(self, wanted: int) -> None:
        wait_until(lambda: self._newest_publication() >= wanted, RECOVERY_SECONDS, "the next publication")

    def _note_publication(self) -> int:
        """The newest publication now; on a busy machine the API may take more than one try to tell it."""
        [found] = wait_until(lambda: [self._newest_publication()], RECOVERY_SECONDS, "the API answers", _POLL_SECONDS)
        return int(found)

    def _newest_publication(self) -> int:
        return int(self._analytics.get("/health").json()["publication"] or 0)
