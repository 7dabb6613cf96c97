"""The bridge's loop: read, judge, produce, wait for every acknowledgement, and only then commit the offsets.

MUST: a record's offset is committed after the broker has acknowledged what became of it. So a crash at any point leaves records to be read
again, never records that are lost. What was read twice is there twice in Kafka and once in silver, by app and event id.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from ingestion.api.ledger import AcknowledgedCounts
from ingestion.bridge.translation import Incoming, Translator
from ingestion.schema_registry.store import StoreUnavailableError
from ingestion.sinks.errors import SinkUnavailableError
from ingestion.sinks.sink import Batch, EventSink
from runtime.crash_points import CrashPoint, reach

ACKNOWLEDGEMENT_SECONDS = 30.0
RETRY_SECONDS = 1.0
log = structlog.get_logger(__name__)


class Inlet(Protocol):
    """A consumer group's view of the downloads topic."""

    def read(self) -> list[Incoming]:
        """The next records, none after a short wait."""
        ...

    def commit(self, records: Sequence[Incoming]) -> None:
        """Never hands out these records again, unless the group has given their partition to somebody else meanwhile."""
        ...


@dataclass
class Progress:
    """What a bridge has done since its start."""

    produced: int = 0
    rejected: int = 0


class Bridge:
    """Moves records from an inlet to a sink. One thread calls `step`."""

    def __init__(self, inlet: Inlet, sink: EventSink, translator: Translator, counts: AcknowledgedCounts) -> None:
        self._inlet = inlet
        self._sink = sink
        self._translator = translator
        self._counts = counts
        self._unfinished: list[Incoming] = []
        self.progress = Progress()

    def run(self, stopping: threading.Event) -> None:
        """Steps until asked to stop."""
        while not stopping.is_set():
            if not self.step():
                stopping.wait(RETRY_SECONDS)

    def step(self) -> bool:
        """One batch; False when it could not be finished and waits for the next step."""
        self._unfinished = self._unfinished or self._inlet.read()
        if not self._unfinished:
            return True
        try:
            self._produce(self._unfinished)
        except (SinkUnavailableError, StoreUnavailableError, TimeoutError) as error:
            log.warning("records wait", record_count=len(self._unfinished), error=str(error))
            return False
        reach(CrashPoint.BRIDGE_PRODUCED)
        self._inlet.commit(self._unfinished)
        self._unfinished = []
        return True

    def _produce(self, batch: Sequence[Incoming]) -> None:
        """Raises: SinkUnavailableError, StoreUnavailableError or TimeoutError when not all of them are where they belong."""
        translator = self._translator
        translator.decoder.learn([record.value for record in batch])
        records = [translator.translate(record) for record in batch]
        outcome = self._sink.submit(Batch.of(records)).result(ACKNOWLEDGEMENT_SECONDS)
        acknowledged: Counter[tuple[int, str]] = Counter()
        for position, (incoming, record) in enumerate(zip(batch, records, strict=True)):
            if position not in outcome.failed:
                acknowledged[incoming.timestamp_milliseconds // 3_600_000, record.topic] += 1
        hours = {record.timestamp_milliseconds // 3_600_000: record.received_at for record in batch}
        for (hour, topic), count in acknowledged.items():
            self._counts.count(translator.app_id, hours[hour], topic, count)
        if outcome.failed:
            raise SinkUnavailableError(f"{len(outcome.failed)} records: {next(iter(outcome.failed.values()))}")
        rejected = sum(record.topic == translator.dead_letter_topic for record in records)
        self.progress.rejected += rejected
        self.progress.produced += len(records) - rejected
