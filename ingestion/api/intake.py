"""What happens to the events of one request: judged, stamped, produced, acknowledged, counted.

Knows no HTTP. Large requests are taken in slices, so that the event loop answers others in between; the request completes once, when
the last slice is acknowledged. Within a slice an event is judged, stamped and handed to the producer before the next one is looked at:
its pieces are still in the processor's cache then, and memory is used again at once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import structlog

from ingestion.api.auth import PUBLIC_APP_ID
from ingestion.api.errors import ErrorCode, RequestError
from ingestion.api.ledger import AcknowledgedCounts
from ingestion.api.metrics import Metrics
from ingestion.contracts.families import FamilyRule, detect_family
from ingestion.contracts.reasons import Reason
from ingestion.contracts.validation import Rejection, Validator, ValidEvent
from ingestion.sinks.errors import SinkUnavailableError
from ingestion.sinks.records import OutgoingRecord, Stamper, new_event_ids
from ingestion.sinks.sink import Batch, EventSink, Outcome

SLICE_EVENTS = 1000
NOT_DELIVERED = "not_delivered"
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Sender:
    """Who sends, when it arrived, and the trace it belongs to."""

    app_id: str
    received_at: datetime
    trace_parent: str | None = None
    request_id: str = ""
    """Of a batch: what became of it is one line of the log."""


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


class _Slice:
    """Up to SLICE_EVENTS events, what was found wrong with them, and the sink's answer."""

    __slots__ = ("answer", "count", "errors", "refusal", "rejected_positions", "start")

    def __init__(self, start: int, count: int) -> None:
        self.start = start
        self.count = count
        self.rejected_positions: set[int] = set()
        self.errors: list[EventError] = []
        self.answer: Awaitable[Outcome] | None = None
        self.refusal = ""


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
    ) -> None:
        self._sink = sink
        self._counts = counts
        self._metrics = metrics
        self._first_day = first_day
        self._live_topic = live_topic
        self._dead_letter_topic = dead_letter_topic
        self._event_max_bytes = event_max_bytes

    async def take(
        self,
        events: Sequence[bytes],
        sender: Sender,
        family_rule: FamilyRule = detect_family,
        event_id_of: Callable[[ValidEvent], str] | None = None,
    ) -> Receipt:
        """The receipt, after every acknowledged event is acknowledged. Record order is the order of `events`.

        Raises: RequestError when the broker is away and no event was accepted.
        """
        validator = Validator(sender.received_at, self._first_day)
        stamper = Stamper(
            sender.app_id,
            sender.received_at,
            topic=self._live_topic,
            dead_letter_topic=self._dead_letter_topic,
            trace_parent=sender.trace_parent,
        )
        slices: list[_Slice] = []
        size_bytes, started = 0, time.perf_counter()
        for start in range(0, len(events), SLICE_EVENTS):
            if start:
                await asyncio.sleep(0)
            raws = events[start : start + SLICE_EVENTS]
            part = _Slice(start, len(raws))
            records = self._judge(part, raws, sender, validator, stamper, family_rule, event_id_of)
            slice_bytes = sum(map(len, raws))
            part.answer = self._send(Batch(records, len(raws), slice_bytes))
            size_bytes += slice_bytes
            slices.append(part)
        try:
            return await self._receipt(slices, len(events), sender)
        finally:
            self._metrics.note_publish(size_bytes, time.perf_counter() - started)

    async def keep(self, raw: bytes, rejection: Rejection, sender: Sender) -> None:
        """Keeps bytes that are no event as one dead letter. Raises: RequestError when the broker is away."""
        part = _Slice(0, 1)
        stamper = Stamper(sender.app_id, sender.received_at, dead_letter_topic=self._dead_letter_topic)
        part.rejected_positions.add(0)
        part.errors.append(EventError(0, rejection.reason.value, rejection.message))
        part.answer = self._send(Batch.of([stamper.dead_letter(raw, rejection)]))
        await self._receipt([part], 1, sender)

    def _send(self, batch: Batch) -> Awaitable[Outcome]:
        return asyncio.ensure_future(self._sink.publish(batch))

    def _judge(
        self,
        part: _Slice,
        events: Sequence[bytes],
        sender: Sender,
        validator: Validator,
        stamper: Stamper,
        family_rule: FamilyRule,
        event_id_of: Callable[[ValidEvent], str] | None,
    ) -> Iterator[OutgoingRecord]:
        """The records of the slice, one by one; notes in `part` what is rejected."""
        max_bytes = self._event_max_bytes
        judge, stamp = validator.judge, stamper.stamp
        fresh_ids: list[str] = []
        for position, raw in enumerate(events):
            verdict = judge(raw, family_rule) if len(raw) <= max_bytes else _too_large(max_bytes)
            if type(verdict) is ValidEvent and verdict.app_id is not None:
                verdict = _of_own_app(verdict, sender.app_id)
            if type(verdict) is ValidEvent:
                event_id = event_id_of(verdict) if event_id_of is not None else verdict.event_id
                if event_id is None:
                    fresh_ids = fresh_ids or new_event_ids(len(events) - position, sender.received_at)
                    event_id = fresh_ids.pop()
                yield stamp(raw, verdict, event_id)
            else:
                assert isinstance(verdict, Rejection)
                part.rejected_positions.add(position)
                part.errors.append(EventError(part.start + position, verdict.reason.value, verdict.message))
                yield stamper.dead_letter(raw, verdict)

    async def _receipt(self, slices: list[_Slice], total: int, sender: Sender) -> Receipt:
        accepted = rejected = undelivered = 0
        refusal = ""
        errors: list[EventError] = []
        for part in slices:
            failed = await _failures(part)
            refusal = part.refusal or refusal
            kept = part.rejected_positions.difference(failed)
            accepted += part.count - len(failed) - len(kept)
            rejected += len(kept)
            undelivered += len(failed)
            errors += [error for error in part.errors if error.index - part.start not in failed]
            errors += [
                EventError(part.start + position, NOT_DELIVERED, message, retryable=True)
                for position, message in failed.items()
            ]
        errors.sort(key=lambda error: error.index)
        self._counts.count(sender.app_id, sender.received_at, self._live_topic, accepted)
        self._counts.count(sender.app_id, sender.received_at, self._dead_letter_topic, rejected)
        self._metrics.note(accepted, [error.code for error in errors])
        if sender.request_id:
            log.info(
                "batch taken",
                request_id=sender.request_id,
                app_id=sender.app_id,
                total=total,
                accepted=accepted,
                rejected=rejected,
                undelivered=undelivered,
            )
        if undelivered and not accepted:
            raise RequestError(ErrorCode.UNAVAILABLE, refusal or "the broker did not acknowledge; send the same again")
        return Receipt(total, accepted, errors)


async def _failures(part: _Slice) -> dict[int, str]:
    """Position → why, of the records that were not acknowledged."""
    assert part.answer is not None
    try:
        return (await part.answer).failed
    except SinkUnavailableError as error:
        part.refusal = str(error)
    return dict.fromkeys(range(part.count), part.refusal)


def _of_own_app(event: ValidEvent, app_id: str) -> ValidEvent | Rejection:
    """The event, unless it says that it belongs to another app than the key does. Without a key it may say what it likes."""
    if event.app_id == app_id or app_id == PUBLIC_APP_ID:
        return event
    message = f"the key belongs to {app_id}, the event to {event.app_id}"
    return Rejection(Reason.WRONG_APP, message, event.event_id, event.event_type, event.user_id)


def _too_large(max_bytes: int) -> Rejection:
    return Rejection(Reason.BODY_TOO_LARGE, f"one event is larger than {max_bytes} bytes; its beginning is kept")
