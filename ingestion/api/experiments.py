"""The experiments that the edge knows: kept by a store, read again every two seconds by one thread, answered from memory.

The store never stands in the way of ingestion. While it is away what is known stays in force; an experiment that is not known may
have been registered meanwhile, so that its variants are taken as they come.
"""

import threading
import time
from collections.abc import Callable, Mapping, Set
from datetime import datetime
from typing import Protocol

import structlog
from sqlalchemy import Engine

from ingestion.contracts.experiments import UNREGISTERED_VARIANTS, Experiment, assure_may_become
from storage.control import experiments
from storage.control.experiments import Change, ExperimentKey

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 2.0
MAX_STALE_SECONDS = 5.0
_FIRST_READ_SECONDS = 1.0


class ExperimentStore(Protocol):
    """Where experiments are kept. Both raise when it cannot be reached."""

    def read_all(self) -> Mapping[ExperimentKey, Experiment]:
        """Every app's."""
        ...

    def put(self, app_id: str, new: Experiment, now: datetime) -> Change:
        """Keeps one. Raises: ExperimentConflictError."""
        ...


class InMemoryExperiments:
    """A store without a database; `available` false makes it unreachable."""

    def __init__(self) -> None:
        self.kept: dict[ExperimentKey, Experiment] = {}
        self.available = True

    def read_all(self) -> Mapping[ExperimentKey, Experiment]:
        """See ExperimentStore."""
        self._reach()
        return dict(self.kept)

    def put(self, app_id: str, new: Experiment, now: datetime) -> Change:
        """See ExperimentStore."""
        self._reach()
        old = self.kept.get((app_id, new.experiment_id))
        if old == new:
            return "unchanged"
        if old is not None:
            assure_may_become(old, new, now)
        self.kept[app_id, new.experiment_id] = new
        return "created" if old is None else "changed"

    def _reach(self) -> None:
        if not self.available:
            raise ConnectionError("the experiments in memory were made unavailable")


class PostgresExperiments:
    """See ExperimentStore."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read_all(self) -> Mapping[ExperimentKey, Experiment]:
        """One query."""
        return experiments.read_all(self._engine)

    def put(self, app_id: str, new: Experiment, now: datetime) -> Change:
        """One transaction."""
        return experiments.put(self._engine, app_id, new, lambda old: assure_may_become(old, new, now))


class ExperimentRegistry:
    """What is known of a store. `find` and `variants_of` never block; `put` and `refresh` do."""

    def __init__(
        self,
        store: ExperimentStore,
        refresh_seconds: float = REFRESH_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._lock = threading.Lock()  # a refresh must not undo what `put` noted while it was reading
        self._known: dict[ExperimentKey, Experiment] = {}
        self._variants: dict[ExperimentKey, frozenset[str]] = {}
        self._read_at: float | None = None
        self._was_read = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the reading thread; waits a second at most for its first answer."""
        self._thread = threading.Thread(target=self._run, name="experiments", daemon=True)
        self._thread.start()
        self._was_read.wait(_FIRST_READ_SECONDS)

    def stop(self, timeout_seconds: float) -> None:
        """Ends the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    @property
    def is_current(self) -> bool:
        """True when the store was read within the last five seconds."""
        return self._read_at is not None and self._clock() - self._read_at <= MAX_STALE_SECONDS

    def find(self, app_id: str, experiment_id: str) -> Experiment | None:
        """The experiment as known here."""
        return self._known.get((app_id, experiment_id))

    def of_app(self, app_id: str) -> list[Experiment]:
        """The app's experiments by id."""
        found = [experiment for (owner, _), experiment in self._known.items() if owner == app_id]
        return sorted(found, key=lambda experiment: experiment.experiment_id)

    def variants_of(self, app_id: str, experiment_id: str) -> Set[str] | None:
        """What events may name as their variant; None when anything may be one."""
        registered = self._variants.get((app_id, experiment_id))
        if registered is not None:
            return registered
        return UNREGISTERED_VARIANTS if self.is_current else None

    def put(self, app_id: str, new: Experiment, now: datetime) -> Change:
        """Keeps it in the store, and knows it from then on. Raises: ExperimentConflictError, and what the store raises."""
        with self._lock:
            change = self._store.put(app_id, new, now)
            self._know({**self._known, (app_id, new.experiment_id): new})
        return change

    def refresh(self) -> None:
        """Reads the store. Raises what it raises."""
        with self._lock:
            started = self._clock()
            self._know(dict(self._store.read_all()))
            self._read_at = started

    def _know(self, known: dict[ExperimentKey, Experiment]) -> None:
        self._known = known
        self._variants = {key: frozenset(experiment.variants) for key, experiment in known.items()}

    def _run(self) -> None:
        is_reachable = True
        while True:
            try:
                self.refresh()
                is_reachable = True
            except Exception as error:  # noqa: BLE001 - any failure of the store means: keep what is known, ask again
                if is_reachable:
                    log.warning("experiments cannot be read, those known stay", error=type(error).__name__)
                is_reachable = False
            self._was_read.set()
            if self._stopping.wait(self._refresh_seconds):
                return
