"""One batch of records on its way into the hot store: what is written, what becomes a dead letter, what is too old.

A batch may be tried as often as needed: writes are idempotent, and what is done is not done again. It is handled in parts of bounded size:
a thousand records may hold a kilobyte each or a mebibyte, and a write that no time-out allows would be tried for ever.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Protocol

from ingestion.contracts import avro_wire
from ingestion.contracts.reasons import Reason
from runtime.crash_points import CrashPoint, reach
from storage.hot_store.errors import UnstorableError
from storage.hot_store.events import HotEvent
from streaming.hot_store.avro_bodies import AvroBodies
from streaming.hot_store.dead_letters import DeadLetter, DeadLetters
from streaming.hot_store.records import Record, RecordParser, RejectedRecordError

PART_BYTES = 8 * 1024 * 1024
Key = tuple[str, str]
"""App and event id."""


class EventWriter(Protocol):
    """What a handler asks of a hot store; see HotStore."""

    def write(self, events: Sequence[HotEvent]) -> int:
        """How many of them were not there before."""
        ...


@dataclass
class Outcome:
    """What became of a batch: every record is in exactly one of the counts."""

    visible: list[HotEvent] = field(default_factory=list)
    """Given to the store and there now, whoever wrote them first."""
    written_count: int = 0
    expired_count: int = 0
    copy_count: int = 0
    letters: Counter[Reason] = field(default_factory=Counter)

    def __iadd__(self, other: "Outcome") -> "Outcome":
        self.visible += other.visible
        self.written_count += other.written_count
        self.expired_count += other.expired_count
        self.copy_count += other.copy_count
        self.letters += other.letters
        return self


class Batch:
    """Records of one poll, in order, and what has become of them so far."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = list(records)
        self.outcome = Outcome()
        self._done: set[tuple[int, int]] = set()

    def ends(self) -> dict[int, int]:
        """Partition → the offset behind its last record."""
        ends: dict[int, int] = {}
        for record in self.records:
            ends[record.partition] = max(ends.get(record.partition, 0), record.offset + 1)
        return ends

    def keep(self, partitions: frozenset[int]) -> None:
        """Forgets the records of partitions that are somebody else's by now."""
        self.records = [record for record in self.records if record.partition in partitions]

    def part(self) -> list[Record]:
        """The next records that are not done, at least one and no more than PART_BYTES; none when all are."""
        part: list[Record] = []
        size = 0
        for record in self.records:
            if (record.partition, record.offset) in self._done:
                continue
            size += len(record.value or b"")
            if part and size > PART_BYTES:
                break
            part.append(record)
        return part

    def finish(self, part: Sequence[Record]) -> None:
        """Notes that what became of these records is durable."""
        self._done.update((record.partition, record.offset) for record in part)


class Handler:
    """Handles batches."""

    def __init__(
        self,
        parser: RecordParser,
        avro: AvroBodies,
        store: EventWriter,
        dead_letters: DeadLetters,
        first_kept_day: Callable[[datetime], date],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._parser = parser
        self._avro = avro
        self._store = store
        self._dead_letters = dead_letters
        self._first_kept_day = first_kept_day
        self._clock = clock

    def handle(self, batch: Batch) -> Outcome:
        """What became of every record, all of it durable. Raises: StoreUnavailableError or DeadLetterError when that is not so."""
        while part := batch.part():
            outcome, letters = Outcome(), list[DeadLetter]()
            self._store_events(part, outcome, letters)
            reach(CrashPoint.HOT_STORE_WRITTEN)
            if letters:
                self._dead_letters.send(letters)
            outcome.letters.update(letter.reason for letter in letters)
            batch.finish(part)
            batch.outcome += outcome
        return batch.outcome

    def _store_events(self, part: Sequence[Record], outcome: Outcome, letters: list[DeadLetter]) -> None:
        self._avro.learn(record.value for record in part if record.value and record.value[:1] == avro_wire.MAGIC)
        first_day = self._first_kept_day(self._clock())
        events: dict[Key, list[tuple[HotEvent, Record]]] = {}
        for record in part:
            event = self._parse(record, letters)
            if event is None:
                continue
            if event.occurred_at.date() < first_day:
                outcome.expired_count += 1
            else:
                events.setdefault(event.key, []).append((event, record))
        waiting = list(events.values())
        while waiting:  # again only for copies of what the store refused: they may differ from it
            refused = self._write([copies[0] for copies in waiting], outcome, letters)
            outcome.copy_count += sum(len(copies) - 1 for copies in waiting if copies[0][0].key not in refused)
            waiting = [copies[1:] for copies in waiting if copies[0][0].key in refused and len(copies) > 1]

    def _parse(self, record: Record, letters: list[DeadLetter]) -> HotEvent | None:
        try:
            return self._parser.parse(record)
        except RejectedRecordError as error:
            letters.append(self._letter(record, error.reason, error))
        except Exception as error:  # noqa: BLE001 - one record must not stop those behind it; it is told and kept
            letters.append(self._letter(record, Reason.HANDLER_FAILED, error))
        return None

    def _write(self, events: list[tuple[HotEvent, Record]], outcome: Outcome, letters: list[DeadLetter]) -> set[Key]:
        """Writes all that can be written; of a refused list each half apart, until what is refused stands alone. The refused keys."""
        try:
            new = self._store.write([event for event, _ in events])
        except UnstorableError as error:
            if len(events) == 1:
                letters.append(self._letter(events[0][1], Reason.UNSTORABLE, error))
                return {events[0][0].key}
            middle = len(events) // 2
            return self._write(events[:middle], outcome, letters) | self._write(events[middle:], outcome, letters)
        outcome.visible += [event for event, _ in events]
        outcome.written_count += new
        outcome.copy_count += len(events) - new
        return set()

    def _letter(self, record: Record, reason: Reason, error: Exception) -> DeadLetter:
        return DeadLetter(record, reason, type(error).__name__, str(error), self._clock())
