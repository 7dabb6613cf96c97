"""The verdict on a quarantined record: that of the edge, as if the bytes had come to it at the moment when they first came.

`received_at` stays what it was: when the platform took the record in. So an event that was rejected for a clock ahead stays rejected, and
one that was on time does not become late by being repaired.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast

from ingestion.api.claims import VariantsOf, judge_claims
from ingestion.api.segment import CALLS
from ingestion.contracts import avro_wire
from ingestion.contracts.families import Family, FamilyRule, UnknownFamilyError, detect_family, only
from ingestion.contracts.quarantine import QuarantinedRecord
from ingestion.contracts.reasons import Reason
from ingestion.contracts.registry import CONTRACTS, Event
from ingestion.contracts.segment import SegmentCall, corrected_time
from ingestion.contracts.topics import MAX_VALUE_SIZE_BYTES
from ingestion.contracts.validation import OccurredAt, Rejection, Validator, ValidEvent, Verdict, own_time
from ingestion.redrive.fixes import Fix, Repaired
from ingestion.schema_registry.decoding import AvroDecoder
from ingestion.sinks.records import DEAD_LETTER_VALUE_MAX_BYTES

CUT = "body_is_cut"
NO_APP = "app_is_unknown"
UNKNOWN_APP_ID = "unknown"


@dataclass(frozen=True)
class Recovered:
    """A record that is an event after all: its bytes, its stamps, its id and its app."""

    body: bytes
    event: ValidEvent
    event_id: str
    app_id: str


@dataclass(frozen=True)
class Skipped:
    """A record that cannot be judged at all, and why."""

    reason: str
    message: str


class RecordJudge:
    """Judges records one by one. `learn` first: schemas of Avro bodies come from a registry, and judging does not wait for one."""

    def __init__(
        self,
        fix: Fix,
        decoder: AvroDecoder,
        *,
        first_day: date,
        event_max_bytes: int,
        guarded_apps: Set[str] = frozenset(),
        variants_of: VariantsOf = lambda _app_id, _experiment_id: None,
        app_for_unknown: str | None = None,
    ) -> None:
        self._fix = fix
        self._decoder = decoder
        self._first_day = first_day
        self._max_bytes = min(event_max_bytes, MAX_VALUE_SIZE_BYTES)
        self._guarded_apps = guarded_apps
        self._variants_of = variants_of
        self._app_for_unknown = app_for_unknown

    def learn(self, records: Sequence[QuarantinedRecord]) -> None:
        """Looks up the schemas that Avro bodies name. Raises: StoreUnavailableError."""
        self._decoder.learn([record.value for record in records if record.value[:1] == avro_wire.MAGIC])

    def judge(self, record: QuarantinedRecord) -> Recovered | Rejection | Skipped:
        """What would become of the record now."""
        app_id = record.app_id if record.app_id != UNKNOWN_APP_ID else self._app_for_unknown
        if app_id is None:
            return Skipped(NO_APP, "the record names no app; --as-app says whose it is")
        if record.reason == Reason.BODY_TOO_LARGE and len(record.value) == DEAD_LETTER_VALUE_MAX_BYTES:
            return Skipped(CUT, "only the beginning of the body was kept; its sender must send it again")
        try:
            repaired, is_as_sent = self._repair(record)
        except avro_wire.AvroError as error:
            return Rejection(error.reason, error.message)
        if isinstance(repaired, Rejection):
            return repaired
        if len(repaired.body) > self._max_bytes:
            return Rejection(Reason.BODY_TOO_LARGE, f"larger than {self._max_bytes} bytes")
        verdict = self._verdict(record, repaired)
        if isinstance(verdict, ValidEvent) and verdict.claims is not None:
            verdict = judge_claims(verdict, verdict.claims, app_id, self._guarded_apps, self._variants_of)
        if isinstance(verdict, Rejection):
            return verdict
        body = record.value if is_as_sent else repaired.body
        return Recovered(body, verdict, event_id_of(record, verdict), app_id)

    def _repair(self, record: QuarantinedRecord) -> tuple[Repaired | Rejection, bool]:
        """The JSON to judge, and whether it says what the record's own bytes say. Raises: AvroError."""
        is_avro = record.value[:1] == avro_wire.MAGIC
        text = self._decoder.json_text(record.value) if is_avro else record.value
        repaired = self._fix.apply(record, text)
        if isinstance(repaired, Rejection):
            return repaired, False
        if is_avro and repaired.family is None:
            repaired = Repaired(repaired.body, Family.DOWNLOAD)
        return repaired, repaired.body == text

    def _verdict(self, record: QuarantinedRecord, repaired: Repaired) -> Verdict:
        is_segment = False

        def rule(document: Mapping[str, Any]) -> Family:
            nonlocal is_segment
            family = family_rule_of(record, repaired.family)(document)
            is_segment = family is Family.SEGMENT
            return family

        def occurred_at_of(event: Event) -> str | None:
            corrects = _by_receipt(record.received_at) if is_segment else own_time
            return corrects(event)

        validator = Validator(record.received_at, self._first_day, occurred_at_of=occurred_at_of)
        return validator.judge_fully(repaired.body, rule)


def family_rule_of(record: QuarantinedRecord, family: Family | None) -> FamilyRule:
    """Which contract judges: the family that the fix names, that of the record's own stamp, or the one that the fields name."""
    if family is not None:
        return only(family)
    stamped = CONTRACTS.get(record.contract or "")
    return only(stamped.family) if stamped is not None else detect_any


def detect_any(document: Mapping[str, Any]) -> Family:
    """The family by the fields; of the protocols' too, which have addresses of their own at the edge. Raises: UnknownFamilyError."""
    try:
        return detect_family(document)
    except UnknownFamilyError:
        if "specversion" in document:
            return Family.CLOUDEVENT
        if document.get("type") in CALLS and ("userId" in document or "anonymousId" in document):
            return Family.SEGMENT
        raise


def event_id_of(record: QuarantinedRecord, event: ValidEvent) -> str:
    """The id of the recovered event, the same every time.

    A record that was an event in Kafka keeps the id of its stamp: should its bytes ever be judged good where they lie, both are copies of
    one event. Else the body's own, and without one an id made of the coordinates.
    """
    if record.stage != "edge" and record.event_id:
        return record.event_id
    return event.event_id or record.coordinates.derived_event_id


def _by_receipt(received_at: datetime) -> OccurredAt:
    """When a Segment call occurred. Its batch's sentAt is not kept with a dead letter: the call's own counts."""
    to_time: Callable[[Event], str | None] = lambda event: corrected_time(cast(SegmentCall, event), None, received_at)  # noqa: E731
    return to_time
