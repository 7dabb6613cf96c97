"""What happens to the events of one request: judged, stamped, produced, acknowledged, counted.

Knows no HTTP. Large requests are taken in slices, so that the event loop answers others in between; the request completes once, when
the last slice is acknowledged. Dead letters follow the good events' acknowledgement: a request that is refused as a whole leaves
none behind, so that its repetition rejects every event once.

Within a slice an event is judged, stamped and handed to the producer before the next one is looked at: its pieces are still in the
processor's cache then, and memory is used again at once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

import structlog

from ingestion.api.claims import VariantsOf, judge_claims
from ingestion.api.errors import ErrorCode, RequestError
from ingestion.api.ledger import AcknowledgedCounts
from ingestion.api.metrics import Metrics
from ingestion.contracts.clocks import UtcFormatter
from ingestion.contracts.engagement import EngagementEvent
from ingestion.contracts.families import FamilyRule, detect_family
from ingestion.contracts.plain import PlainReader
from ingestion.contracts.reasons import Reason
from ingestion.contracts.registry import Contract
from ingestion.contracts.validation import (
    MAY_BE_ENGAGEMENT,
    OccurredAt,
    Rejection,
    Validator,
    ValidEvent,
    Verdict,
    own_time,
)
from ingestion.sinks.errors import SinkUnavailableError
from ingestion.sinks.records import OutgoingRecord, Stamper, new_event_ids
from ingestion.sinks.sink import Batch, EventSink, Outcome
from runtime.crash_points import CrashPoint, reach

SLICE_EVENTS = 1000
_FRESH_IDS = 100  # made at once: one read of the system's randomness
_MAX_STAMPERS = 10_000
_PLAIN_READER_AGE = timedelta(seconds=1)
NOT_DELIVERED = "not_delivered"
_NOT_ACKNOWLEDGED = "the broker did not acknowledge; send the same again"
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Sender:
    """Who sends, when it arrived, the trace it belongs to, and the contract that all its events keep where the sender names one.

    Without a key no event may name one of the `guarded_apps`. Of a batch, `request_id`: what became of it is one line of the log.
    """

    app_id: str
    received_at: datetime
    trace_parent: str | None = None
    guarded_apps: frozenset[str] = frozenset()
    request_id: str = ""
    contract: Contract | None = None


@dataclass(frozen=True)
class EventError:
    """Why the event at `index` was not accepted. `retryable`: it was not acknowledged and may be sent again."""

    index: int
    code: str
    message: str
    retryable: bool = False


@dataclass(frozen=True)
class Receipt:
    """What became of a request's events: `accepted` were acknowledged, each of the others has its error."""

    total: int
    accepted: int
    errors: list[EventError] = field(default_factory=list)


@dataclass(frozen=True)
class Taken:
    """What became of a single event. Id and contract are empty when it was rejected."""

    receipt: Receipt
    event_id: str
    contract: str


@dataclass(slots=True)
class PlainTaken:
    """One plain engagement on its way to the broker. Without an `answer` there is a `refusal`. `started`: of time.perf_counter."""

    app_id: str
    event_id: str
    received_at: datetime
    received_text: str
    size_bytes: int
    started: float
    answer: "asyncio.Future[Outcome] | None" = None
    refusal: str = ""


class Judge(Protocol):
    """A Validator, or what reads bytes of another form for it."""

    def judge(self, raw: bytes, family_rule: FamilyRule, /) -> Verdict:
        """See Validator."""
        ...


JudgeOf = Callable[[Validator], Judge]


class _Slice:
    """Up to SLICE_EVENTS events: the sink's answer on the good ones, what is wrong with each of the others and its dead letter."""

    __slots__ = ("answer", "count", "dead_letters", "errors", "refusal", "start")

    def __init__(self, start: int, count: int) -> None:
        self.start = start
        self.count = count
        self.errors: list[EventError] = []
        self.dead_letters: list[OutgoingRecord] = []
        self.answer: Awaitable[Outcome] | None = None
        self.refusal = ""

    def reject(self, position: int, rejection: Rejection, dead_letter: OutgoingRecord) -> None:
        """Notes an event that is not for the sink."""
        self.errors.append(EventError(self.start + position, rejection.reason.value, rejection.message))
        self.dead_letters.append(dead_letter)

    async def undelivered(self) -> list[EventError]:
        """The good events that were not acknowledged."""
        failed = await _failures(self)
        if not failed:
            return []
        rejected = {error.index for error in self.errors}
        sent = [index for index in range(self.start, self.start + self.count) if index not in rejected]
        return [_undelivered(sent[place], message) for place, message in failed.items() if place < len(sent)]


class _Lane:
    """What the events of one request have in common."""

    __slots__ = (
        "_fresh_ids",
        "_other_judge",
        "_validator",
        "event_id_of",
        "family_rule",
        "plain",
        "sender",
        "stamper",
    )

    def __init__(
        self,
        sender: Sender,
        validator: Validator,
        stamper: Stamper,
        family_rule: FamilyRule,
        event_id_of: Callable[[ValidEvent], str] | None,
        judge_of: JudgeOf | None,
    ) -> None:
        self.sender = sender
        self.plain = validator.plain
        self._validator = validator
        self._other_judge = judge_of(validator) if judge_of is not None else None
        self.stamper = stamper
        self.family_rule = family_rule
        self.event_id_of = event_id_of
        self._fresh_ids: list[str] = []

    def judge(self, raw: bytes) -> Verdict:
        """The verdict on an event that is not plain."""
        if self._other_judge is not None:
            return self._other_judge.judge(raw, self.family_rule)
        return self._validator.judge_fully(raw, self.family_rule, self.sender.contract)

    def fresh_id(self) -> str:
        """A new event id."""
        if not self._fresh_ids:
            self._fresh_ids = new_event_ids(1 if self.event_id_of is not None else _FRESH_IDS, self.sender.received_at)
        return self._fresh_ids.pop()


class Intake:
    """Takes events of any family into the sink."""

    def __init__(
        self,
        sink: EventSink,
        counts: AcknowledgedCounts,
        metrics: Metrics,
        *,
        first_day: date,
        live_topic: str,
        dead_letter_topic: str,
        event_max_bytes: int,
        variants_of: VariantsOf = lambda _app_id, _experiment_id: None,
    ) -> None:
        self._sink = sink
        self._counts = counts
        self._metrics = metrics
        self._first_day = first_day
        self._live_topic = live_topic
        self._dead_letter_topic = dead_letter_topic
        self._event_max_bytes = event_max_bytes
        self._variants_of = variants_of
        self._formatter = UtcFormatter()
        self._plain_stampers: dict[str, Stamper] = {}
        self._plain: PlainReader | None = None
        self._is_plain_expected = False
        self._plain_since = self._plain_until = datetime.min.replace(tzinfo=UTC)

    async def take(
        self,
        events: Sequence[bytes],
        sender: Sender,
        family_rule: FamilyRule = detect_family,
        event_id_of: Callable[[ValidEvent], str] | None = None,
        judge_of: Callable[[Validator], Judge] | None = None,
        occurred_at_of: OccurredAt = own_time,
        *,
        is_repeated_whole: bool = False,
    ) -> Receipt:
        """The receipt, after every acknowledged event is acknowledged. Record order is the order of `events`.

        `is_repeated_whole`: the client sends all of them again when one was not acknowledged; none is rejected then.

        Raises: RequestError when the broker is away and took no event, nor a dead letter.
        """
        validator = Validator(sender.received_at, self._first_day, occurred_at_of=occurred_at_of)
        stamper = self._stamper(sender)
        slices: list[_Slice] = []
        size_bytes, started = 0, time.perf_counter()
        for start in range(0, len(events), SLICE_EVENTS):
            if start:
                await asyncio.sleep(0)
            raws = events[start : start + SLICE_EVENTS]
            part = _Slice(start, len(raws))
            records = self._judge(part, raws, _Lane(sender, validator, stamper, family_rule, event_id_of, judge_of))
            slice_bytes = sum(map(len, raws))
            self._send(part, Batch(records, len(raws), slice_bytes))
            size_bytes += slice_bytes
            slices.append(part)
        try:
            return await self._receipt(slices, len(events), sender, is_repeated_whole)
        finally:
            self._metrics.note_publish(size_bytes, time.perf_counter() - started)

    def read_plain(self, raw: bytes, received_at: datetime) -> EngagementEvent | None:
        """The event when it is a plain engagement (see ingestion.contracts.plain)."""
        if len(raw) > self._event_max_bytes:
            return None
        if not self._plain_since <= received_at < self._plain_until:
            # A limit that is up to a second too early: what lies in between is not plain, and judged exactly.
            self._plain = Validator(received_at, self._first_day).plain
            self._is_plain_expected = self._plain.is_expected
            self._plain_since, self._plain_until = received_at, received_at + _PLAIN_READER_AGE
        plain = self._plain
        if plain is None or not self._is_plain_expected:
            return None
        plain.is_expected = True
        return plain.read(raw)

    def begin_plain(self, raw: bytes, event: EngagementEvent, app_id: str, received_at: datetime) -> PlainTaken:
        """Hands one plain engagement to the sink; `end_plain` follows when `answer` is there, at once without one."""
        event_id = event.event_id or new_event_ids(1, received_at)[0]
        stamper = self._plain_stampers.get(app_id) or self._add_plain_stamper(app_id, received_at)
        received_text = self._formatter.format(received_at)
        stamper.renew(received_text)
        record = stamper.stamp_plain(raw, event, event_id)
        taken = PlainTaken(app_id, event_id, received_at, received_text, len(raw), time.perf_counter())
        try:
            taken.answer = asyncio.ensure_future(self._sink.publish(Batch((record,), 1, len(raw))))
        except SinkUnavailableError as error:
            taken.refusal = str(error)
        reach(CrashPoint.INGESTION_QUEUED)
        return taken

    def _add_plain_stamper(self, app_id: str, received_at: datetime) -> Stamper:
        if len(self._plain_stampers) >= _MAX_STAMPERS:
            self._plain_stampers.clear()
        stamper = self._plain_stampers[app_id] = self._stamper(Sender(app_id, received_at))
        return stamper

    def end_plain(self, taken: PlainTaken) -> None:
        """Counts it. Raises: RequestError when it was not acknowledged."""
        refusal = taken.refusal
        if taken.answer is not None:
            try:
                refusal = _NOT_ACKNOWLEDGED if taken.answer.result().failed else ""
            except SinkUnavailableError as error:
                refusal = str(error)
        self._metrics.note_publish(taken.size_bytes, time.perf_counter() - taken.started)
        if refusal:
            self._metrics.note(0, [NOT_DELIVERED])
            raise RequestError(ErrorCode.UNAVAILABLE, refusal)
        reach(CrashPoint.INGESTION_ACKNOWLEDGED)
        self._counts.count(taken.app_id, taken.received_at, self._live_topic, 1)
        reach(CrashPoint.INGESTION_COUNTED)
        self._metrics.note(1, ())

    def _stamper(self, sender: Sender) -> Stamper:
        return Stamper(
            sender.app_id,
            sender.received_at,
            topic=self._live_topic,
            dead_letter_topic=self._dead_letter_topic,
            trace_parent=sender.trace_parent,
        )

    async def keep(self, raw: bytes, rejection: Rejection, sender: Sender) -> None:
        """Keeps bytes that are no event as one dead letter. Raises: RequestError when the broker is away."""
        part = _Slice(0, 1)
        part.reject(0, rejection, self._stamper(sender).dead_letter(raw, rejection))
        await self._receipt([part], 1, sender)

    def _send(self, part: _Slice, batch: Batch) -> None:
        try:
            part.answer = self._sink.publish(batch)
        except SinkUnavailableError as error:
            part.refusal = str(error)

    def _judge(self, part: _Slice, events: Sequence[bytes], lane: _Lane) -> Iterator[OutgoingRecord]:
        """The records of the slice's good events, one by one; notes in `part` what is rejected."""
        max_bytes, sender, event_id_of = self._event_max_bytes, lane.sender, lane.event_id_of
        plain, judge = lane.plain, lane.judge
        read_plain, stamp_plain = plain.read, lane.stamper.stamp_plain
        may_be_plain = (
            lane.family_rule in MAY_BE_ENGAGEMENT
            and sender.contract is None
            and event_id_of is None
            and max(map(len, events)) <= max_bytes
        )
        for position, raw in enumerate(events):
            if may_be_plain and plain.is_expected:
                event = read_plain(raw)
                if event is not None:
                    yield stamp_plain(raw, event, event.event_id or lane.fresh_id())
                    continue
            verdict = judge(raw) if len(raw) <= max_bytes else _too_large(max_bytes)
            if type(verdict) is ValidEvent and verdict.claims is not None:
                verdict = judge_claims(verdict, verdict.claims, sender.app_id, sender.guarded_apps, self._variants_of)
            kept = raw if verdict.kept is None else verdict.kept
            if type(verdict) is ValidEvent:
                event_id = event_id_of(verdict) if event_id_of is not None else verdict.event_id
                yield lane.stamper.stamp(kept, verdict, event_id or lane.fresh_id())
            else:
                assert isinstance(verdict, Rejection)
                part.reject(position, verdict, lane.stamper.dead_letter(kept, verdict))

    async def _receipt(
        self, slices: list[_Slice], total: int, sender: Sender, is_repeated_whole: bool = False
    ) -> Receipt:
        reach(CrashPoint.INGESTION_QUEUED)
        undelivered = [error for part in slices for error in await part.undelivered()]
        reach(CrashPoint.INGESTION_ACKNOWLEDGED)
        rejected = [error for part in slices for error in part.errors]
        accepted = total - len(undelivered) - len(rejected)
        if undelivered and (is_repeated_whole or not accepted):
            undelivered += [_undelivered(error.index, _NOT_ACKNOWLEDGED) for error in rejected]
            rejected = []
        elif rejected:
            lost = await self._keep(slices)
            rejected = [error for error in rejected if error.index not in lost]
            undelivered += [_undelivered(index, message) for index, message in lost.items()]
        errors = rejected + undelivered
        errors.sort(key=lambda error: error.index)
        self._counts.count(sender.app_id, sender.received_at, self._live_topic, accepted)
        self._counts.count(sender.app_id, sender.received_at, self._dead_letter_topic, len(rejected))
        reach(CrashPoint.INGESTION_COUNTED)
        self._metrics.note(accepted, [error.code for error in errors])
        if sender.request_id:
            log.info(
                "batch taken",
                request_id=sender.request_id,
                app_id=sender.app_id,
                total=total,
                accepted=accepted,
                rejected=len(rejected),
                undelivered=len(undelivered),
            )
        if undelivered and len(undelivered) == total:
            refusal = next((part.refusal for part in slices if part.refusal), _NOT_ACKNOWLEDGED)
            raise RequestError(ErrorCode.UNAVAILABLE, refusal)
        return Receipt(total, accepted, errors)

    async def _keep(self, slices: list[_Slice]) -> dict[int, str]:
        """Produces the dead letters; index → why, of the events whose letter was not acknowledged."""
        sent: list[tuple[_Slice, _Slice]] = []
        for part in slices:
            if part.dead_letters:
                letters = _Slice(part.start, len(part.dead_letters))
                self._send(letters, Batch.of(part.dead_letters))
                sent.append((part, letters))
                await asyncio.sleep(0)
        lost: dict[int, str] = {}
        for part, letters in sent:
            lost |= {part.errors[place].index: message for place, message in (await _failures(letters)).items()}
            part.refusal = letters.refusal or part.refusal
        return lost


def _undelivered(index: int, message: str) -> EventError:
    return EventError(index, NOT_DELIVERED, message, retryable=True)


async def _failures(part: _Slice) -> dict[int, str]:
    """Place among the slice's records → why, of those that were not acknowledged."""
    if part.answer is not None:
        try:
            return (await part.answer).failed
        except SinkUnavailableError as error:
            part.refusal = str(error)
    return dict.fromkeys(range(part.count), part.refusal)


def _too_large(max_bytes: int) -> Rejection:
    return Rejection(Reason.BODY_TOO_LARGE, f"one event is larger than {max_bytes} bytes; its beginning is kept")
