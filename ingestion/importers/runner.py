"""Runs an import: rows → events → import topic, a bounded number in flight, the state following the acknowledgements in order.

Rows are judged by the same contracts as live events, and product events by the same registry of experiments; rejected ones go to the
dead-letter topic. After a kill the rows behind the saved state are produced again with the same event ids, so the pipeline counts them
once.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from ingestion.api.claims import VariantsOf, judge_claims
from ingestion.contracts.clocks import format_utc
from ingestion.contracts.families import detect_family, only
from ingestion.contracts.reasons import Reason
from ingestion.contracts.topics import MAX_VALUE_SIZE_BYTES
from ingestion.contracts.validation import Rejection, Validator, ValidEvent, Verdict
from ingestion.importers.conversion import ConvertedRow, RowConverter
from ingestion.importers.errors import UnreachableError, UnreadableFileError
from ingestion.importers.mapping import ImportMapping
from ingestion.importers.rows import Row, RowReader
from ingestion.importers.state import AcknowledgedRows, ImportState, ImportStore
from ingestion.sinks.errors import SinkUnavailableError
from ingestion.sinks.records import OutgoingRecord, Stamper
from ingestion.sinks.sink import Batch, EventSink, Outcome

CHUNK_ROWS = 1000
CHUNK_BYTES = 4 * 1024 * 1024
MAX_CHUNKS_IN_FLIGHT = 8
_SAVE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 3.0
_MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Receiver:
    """What the API knows by which product events are judged: variants of experiments, and apps that events of `public` may not name."""

    variants_of: VariantsOf = lambda _app_id, _experiment_id: None
    guarded_apps: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ImportPlan:
    """What is imported, for whom, and how patient the import is with a broker that is away."""

    mapping: ImportMapping
    app_id: str
    topic: str
    dead_letter_topic: str
    first_day: date
    patience_seconds: float = 120.0
    keeps_rejected: bool = True  # false when the same rows were kept by an earlier run
    receiver: Receiver = Receiver()


@dataclass
class ImportTally:
    """What this run saw; the totals over all runs are in the state."""

    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    skipped: int = 0
    by_contract: Counter[str] = field(default_factory=Counter)
    by_type: Counter[str] = field(default_factory=Counter)
    rejected_by_reason: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    earliest: str | None = None
    latest: str | None = None


@dataclass
class _Chunk:
    """Rows on their way, and what they will add to the state once acknowledged."""

    received_at: datetime
    records: list[OutgoingRecord] = field(default_factory=list)
    rejected_by_reason: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    accepted: int = 0
    size_bytes: int = 0
    answer: "Future[Outcome] | None" = None


class Importer:
    """One run of one import."""

    def __init__(
        self,
        plan: ImportPlan,
        reader: RowReader,
        sink: EventSink,
        store: ImportStore,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        progress: Callable[[int, int], None] = lambda _position, _rows: None,
    ) -> None:
        self._plan = plan
        self._reader = reader
        self._sink = sink
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._progress = progress
        self._in_flight: deque[_Chunk] = deque()
        self._unsaved_accepted: Counter[datetime] = Counter()
        self._unsaved_rejected: Counter[datetime] = Counter()
        self._saved_at = time.monotonic()
        self.state = store.load()
        self._first_row_number = self.state.row_number  # rows up to here were acknowledged by earlier runs
        self.tally = ImportTally()
        self._received_at = clock()

    def run(self) -> ImportState:
        """The state at the end of the file. Raises: UnreadableFileError (after all rows before it), UnreachableError."""
        try:
            for chunk in self._chunks():
                self._send(chunk)
                while len(self._in_flight) >= MAX_CHUNKS_IN_FLIGHT:
                    self._settle_oldest()
            self._settle_all()
        except UnreadableFileError:
            self._settle_all()
            self._save()
            raise
        except (UnreachableError, KeyboardInterrupt):
            # What is still in flight may arrive, but not in order: the state stays before it.
            self._in_flight.clear()
            self._save()
            raise
        self.state = replace(self.state, is_finished=True)
        self._save()
        return self.state

    def _chunks(self) -> Iterator[_Chunk]:
        """Yields what is complete even when the file breaks, so that everything readable is imported."""
        converter: RowConverter | None = None
        chunk = self._begin_chunk()
        try:
            for number, row in enumerate(self._reader, start=1):
                if number <= self._first_row_number:
                    self.tally.skipped += 1
                    continue
                if converter is None:
                    converter = RowConverter(self._plan.mapping, self._reader.header)
                self._add(chunk, row, converter)
                if chunk.rows >= CHUNK_ROWS or chunk.size_bytes >= CHUNK_BYTES:
                    yield chunk
                    chunk = self._begin_chunk()
        except UnreadableFileError:
            if chunk.rows:
                self._send(chunk)
            raise
        if chunk.rows:
            yield chunk

    def _begin_chunk(self) -> _Chunk:
        self._received_at = self._clock()
        self._validator = Validator(self._received_at, self._plan.first_day)
        self._stamper = Stamper(
            self._plan.app_id,
            self._received_at,
            topic=self._plan.topic,
            dead_letter_topic=self._plan.dead_letter_topic,
        )
        return _Chunk(self._received_at)

    def _add(self, chunk: _Chunk, row: Row, converter: RowConverter) -> None:
        chunk.rows += 1
        self.tally.rows += 1
        converted = converter.convert(row)
        if isinstance(converted, ConvertedRow):
            verdict = self._judge(converted)
            if isinstance(verdict, ValidEvent):
                self._accept(chunk, converted.body, verdict)
            else:
                self._reject(chunk, row, verdict)
        else:
            self._reject(chunk, row, converted)

    def _judge(self, converted: ConvertedRow) -> Verdict:
        if len(converted.body) > MAX_VALUE_SIZE_BYTES:
            return Rejection(Reason.BODY_TOO_LARGE, f"the event is larger than {MAX_VALUE_SIZE_BYTES} bytes")
        rule = detect_family if converted.family is None else only(converted.family)
        verdict = self._validator.judge(converted.body, rule)
        if isinstance(verdict, ValidEvent) and verdict.event_id is None:
            # Only verbatim events can lack one. An id made here would be another one when the file is imported again.
            message = "an event that is imported verbatim needs an event_id"
            return Rejection(Reason.MISSING_FIELD, message, None, verdict.event_type, verdict.user_id)
        if isinstance(verdict, ValidEvent) and verdict.claims is not None:
            app_id, receiver = self._plan.app_id, self._plan.receiver
            return judge_claims(verdict, verdict.claims, app_id, receiver.guarded_apps, receiver.variants_of)
        return verdict

    def _accept(self, chunk: _Chunk, body: bytes, event: ValidEvent) -> None:
        assert event.event_id is not None, "a converted row always has an id"
        self._note(event)
        chunk.accepted += 1
        self._append(chunk, self._stamper.stamp(body, event, event.event_id))

    def _reject(self, chunk: _Chunk, row: Row, verdict: Rejection) -> None:
        chunk.rejected_by_reason[verdict.reason.value] += 1
        self.tally.rejected_by_reason[verdict.reason.value] += 1
        self.tally.rejected += 1
        if len(self.tally.examples) < _MAX_EXAMPLES:
            row_number = self.tally.skipped + self.tally.rows
            self.tally.examples.append(f"row {row_number}: {verdict.reason.value}: {verdict.message}")
        if self._plan.keeps_rejected:
            self._append(chunk, self._stamper.dead_letter(row.raw, verdict))

    def _append(self, chunk: _Chunk, record: OutgoingRecord) -> None:
        chunk.records.append(record)
        chunk.size_bytes += len(record.value)

    def _note(self, event: ValidEvent) -> None:
        tally = self.tally
        tally.accepted += 1
        tally.by_contract[event.contract] += 1
        tally.by_type[event.event_type] += 1
        occurred_at = event.occurred_at or format_utc(self._received_at)
        tally.earliest = min(tally.earliest or occurred_at, occurred_at)
        tally.latest = max(tally.latest or occurred_at, occurred_at)

    def _send(self, chunk: _Chunk) -> None:
        chunk.answer = self._submit(chunk.records)
        self._in_flight.append(chunk)

    def _submit(self, records: list[OutgoingRecord]) -> "Future[Outcome]":
        """Queues the records as soon as the sink takes them. Raises: UnreachableError after the plan's patience."""
        deadline, pause = time.monotonic() + self._plan.patience_seconds, 0.05
        while True:
            try:
                return self._sink.submit(Batch.of(records))
            except SinkUnavailableError as error:
                if time.monotonic() > deadline:
                    raise UnreachableError(f"the broker takes nothing: {error}; start the import again later") from None
                self._sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _settle_oldest(self) -> None:
        """Waits for the oldest chunk, sends again what was not acknowledged, and moves the state behind it."""
        chunk = self._in_flight.popleft()
        assert chunk.answer is not None
        outcome = chunk.answer.result()
        deadline, pause, records = time.monotonic() + self._plan.patience_seconds, 0.2, chunk.records
        while outcome.failed:
            if time.monotonic() > deadline:
                reason = next(iter(outcome.failed.values()))
                raise UnreachableError(f"the broker does not acknowledge: {reason}; start the import again later")
            self._sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            records = [records[position] for position in sorted(outcome.failed)]
            outcome = self._submit(records).result()
        rejected = chunk.rejected_by_reason.total()
        self.state = ImportState(
            self.state.row_number + chunk.rows,
            self.state.accepted + chunk.accepted,
            self.state.rejected + rejected,
            dict(Counter(self.state.rejected_by_reason) + chunk.rejected_by_reason),
        )
        hour = chunk.received_at.replace(minute=0, second=0, microsecond=0)
        self._unsaved_accepted[hour] += chunk.accepted
        self._unsaved_rejected[hour] += rejected if self._plan.keeps_rejected else 0
        self._progress(self._reader.position, self.tally.rows)
        if time.monotonic() - self._saved_at > _SAVE_SECONDS:
            self._save()

    def _settle_all(self) -> None:
        while self._in_flight:
            self._settle_oldest()

    def _save(self) -> None:
        rows = [
            AcknowledgedRows(self._plan.app_id, hour, accepted, self._unsaved_rejected[hour])
            for hour, accepted in self._unsaved_accepted.items()
        ]
        self._unsaved_accepted, self._unsaved_rejected = Counter(), Counter()
        self._store.save(self.state, rows)
        self._saved_at = time.monotonic()
