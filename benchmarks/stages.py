"""How far each stage behind Kafka is behind, seen from outside: once a second the end offsets are noted, and a stage has caught up with a
note when its own offsets cover it: bronze by a commit, the hot store by its group's commits, the live windows by a batch, gold by a
publication. Reads Kafka, Delta's log and PostgreSQL; writes nothing.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from deltalake import DeltaTable
from sqlalchemy import Engine

from storage.control import make_engine
from storage.hot_store.group_offsets import GroupOffsets
from storage.hot_store.settings import HotStoreSettings
from storage.live.state import WINDOWS_QUERY, read_state
from storage.publications import latest
from storage.settings import StorageSettings
from storage.settlement import read_end_offsets

NOTE_SECONDS = 1.0
LOOK_SECONDS = 0.4
Offsets = dict[int, int]


@dataclass
class Marks:
    """Moments with the end offsets of then, and how long a stage took to cover each, in seconds."""

    pending: list[tuple[float, Offsets]] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)

    def cover(self, reached: Offsets, now: float) -> None:
        """Closes the marks that the reached offsets cover; `reached` are those of the last records."""
        while self.pending and all(reached.get(part, -1) + 1 >= end for part, end in self.pending[0][1].items()):
            self.lags.append(now - self.pending.pop(0)[0])

    def percentile_95(self) -> float:
        """Of all lags."""
        return percentile(self.lags, 95)

    def growth(self) -> float:
        """Seconds that the mean lag of the second half is above that of the first."""
        half = len(self.lags) // 2
        if not half:
            return 0.0
        return statistics.mean(self.lags[half:]) - statistics.mean(self.lags[:half])

    def newest(self) -> str:
        """The newest lags, for whoever watches."""
        return " ".join(f"{lag:.1f}" for lag in self.lags[-4:]) + " s"


@dataclass
class Stages:
    """The marks of each stage behind Kafka, and where they are read. Call `look` about twice a second."""

    settings: StorageSettings
    engine: Engine
    bronze: Marks = field(default_factory=Marks)
    hot: Marks = field(default_factory=Marks)
    live: Marks = field(default_factory=Marks)
    gold: Marks = field(default_factory=Marks)
    _noted_at: float = 0.0

    def named(self) -> dict[str, Marks]:
        """Every stage by its name."""
        return {"bronze": self.bronze, "hot": self.hot, "live": self.live, "gold": self.gold}

    def note(self) -> None:
        """Notes the end offsets of now, when the last note is a second old."""
        now = time.monotonic()
        if now - self._noted_at < NOTE_SECONDS:
            return
        self._noted_at = now
        ends = read_end_offsets(self.settings, (self.settings.live_topic,))[self.settings.live_topic]
        for marks in self.named().values():
            marks.pending.append((now, ends))

    def look(self) -> None:
        """Closes what every stage covers now."""
        topic = self.settings.live_topic
        self.bronze.cover(landed(self.settings), time.monotonic())
        with self.engine.begin() as connection:
            counted = read_state(connection, WINDOWS_QUERY).offsets.get(topic, {})
        self.live.cover({part: end - 1 for part, end in counted.items()}, time.monotonic())
        publication = latest(self.engine)
        if publication:
            reached = {int(part): offset for part, offset in publication.highest_offsets.get(topic, {}).items()}
            self.gold.cover(reached, time.monotonic())
        if self.hot.pending:
            group = GroupOffsets(
                self.settings.kafka_bootstrap_servers, HotStoreSettings().consumer_group, self.settings.topics
            )
            self.hot.cover({part: end - 1 for part, end in group.committed().items()}, time.monotonic())

    def watch(self, is_over: Callable[[], bool]) -> None:
        """Notes and looks until it is over."""
        while not is_over():
            self.note()
            self.look()
            time.sleep(LOOK_SECONDS)

    def drain(self, seconds: float) -> None:
        """Waits until all marks are covered; what is not by then counts with the time waited."""
        deadline = time.monotonic() + seconds
        while any(marks.pending for marks in self.named().values()) and time.monotonic() < deadline:
            self.look()
            time.sleep(LOOK_SECONDS)
        for marks in self.named().values():
            marks.lags += [time.monotonic() - moment for moment, _ in marks.pending]
            marks.pending.clear()


@contextmanager
def watched_stages(settings: StorageSettings) -> Iterator[Stages]:
    """The stages of a platform."""
    engine = make_engine(settings, pool_size=1)
    try:
        yield Stages(settings, engine)
    finally:
        engine.dispose()


def landed(settings: StorageSettings) -> Offsets:
    """The live offsets that the newest commit carries; cheaper than the product's reader, which also finds them in older commits."""
    newest = DeltaTable(settings.bronze_uri).history(1)[0]
    offsets = json.loads(newest.get("userMetadata") or "{}").get("offsets", {})
    return {int(part): offset for part, offset in offsets.get(settings.live_topic, {}).items()}


def percentile(values: list[float], rank: int) -> float:
    """The percentile of the values, by interpolation."""
    return statistics.quantiles(values, n=100)[rank - 1] if len(values) > 1 else max(values, default=0.0)
