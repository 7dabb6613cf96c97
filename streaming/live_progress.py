"""What the driver of the live windows knows of itself, for its heartbeat and for deciding what is closed."""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from streaming.commit_metadata import Offsets, format_instant
from streaming.progress import Waiting, count_lag


@dataclass(frozen=True)
class LiveBatch:
    """What one batch did. `offsets` are one past the last counted record."""

    batch_id: int
    cell_count: int
    duration_seconds: float
    finished_at: datetime
    offsets: Offsets
    watermark_at: datetime | None


class LiveProgress:
    """Safe to use from several threads."""

    def __init__(self, waiting: Waiting | None = None) -> None:
        self._mutex = threading.Lock()
        self._waiting = waiting or Waiting()
        self._state = "starting"
        self._batch: LiveBatch | None = None
        self._offsets: Offsets = {}
        self._dropped = 0
        self._caught_up_at: datetime | None = None

    def set_state(self, state: str, /) -> None:
        """starting, waiting_for_kafka, waiting_for_database, running, stopping, refused or failed."""
        with self._mutex:
            self._state = state

    def remember(self, details: Mapping[str, Any]) -> None:
        """The last heartbeat of the process before."""
        with self._mutex:
            self._waiting.remember(details.get("waits_since"))

    def set_offsets(self, offsets: Offsets) -> None:
        """How far the tables were before the first batch of this process."""
        with self._mutex:
            self._offsets = offsets

    def record_batch(self, batch: LiveBatch) -> None:
        """A batch that is in the tables."""
        with self._mutex:
            self._batch = batch
            self._waiting.note_batch(batch.finished_at)
            self._offsets = batch.offsets

    def record_dropped(self, count: int) -> None:
        """Rows that Spark dropped behind its watermark, all in all. More than none is a fault: see live_run."""
        with self._mutex:
            self._dropped = count

    def record_caught_up(self, moment: datetime) -> None:
        """Everything that Kafka held at `moment` is in the tables."""
        with self._mutex:
            self._caught_up_at = moment

    @property
    def offsets(self) -> Offsets:
        """One past the last counted record."""
        with self._mutex:
            return self._offsets

    @property
    def caught_up_at(self) -> datetime | None:
        """The newest moment whose records are all in the tables."""
        with self._mutex:
            return self._caught_up_at

    def describe(self, ends: Mapping[str, Mapping[int, int]] | None, /) -> dict[str, Any]:
        """The heartbeat's details. Without Kafka's ends the lag is null, not zero."""
        with self._mutex:
            counted = {topic: {p: end - 1 for p, end in of.items()} for topic, of in self._offsets.items()}
            lag = None if ends is None else count_lag(ends, counted)
            batch = self._batch
            return {
                "state": self._state,
                "pid": os.getpid(),
                "lag": lag,
                "waits_since": self._waiting.note_lag(lag),
                "dropped_by_watermark": self._dropped,
                "caught_up_at": format_instant(self._caught_up_at) if self._caught_up_at else None,
                "last_batch": batch
                and {
                    "batch_id": batch.batch_id,
                    "cells": batch.cell_count,
                    "duration_seconds": round(batch.duration_seconds, 3),
                    "finished_at": format_instant(batch.finished_at),
                    "watermark_at": format_instant(batch.watermark_at) if batch.watermark_at else None,
                },
            }


class CatchUp:
    """Tells up to which moment everything was read: a look at Kafka's ends counts once the batches have passed them."""

    def __init__(self, read_ends: Callable[[], Offsets], clock: Callable[[], datetime]) -> None:
        self._read_ends = read_ends
        self._clock = clock
        self._look: tuple[datetime, Offsets] | None = None

    def moment_passed(self, offsets: Offsets) -> datetime | None:
        """The moment of the last look if `offsets` have passed it; then the next call looks again. Raises what `read_ends` raises."""
        if self._look is None:
            moment = self._clock()  # before the look: records of later do not matter
            self._look = (moment, self._read_ends())
        moment, ends = self._look
        if any(
            end > offsets.get(topic, {}).get(partition, 0)
            for topic, of in ends.items()
            for partition, end in of.items()
        ):
            return None
        self._look = None
        return moment
