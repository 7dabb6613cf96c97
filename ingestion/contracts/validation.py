"""From the bytes of one event to a verdict: valid with its stamps, or rejected with a reason. Pure: no clock, no I/O.

The same verdict is reached by the HTTP API and by the importer. Values are never changed: what is stored is the bytes as sent, and
the stamps beside them.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import msgspec

from ingestion.contracts import engagement
from ingestion.contracts.clocks import (
    TimestampError,
    earliest_occurred_at,
    latest_occurred_at,
)
from ingestion.contracts.families import Family, FamilyRule, UnknownFamilyError, detect_family, only
from ingestion.contracts.fields import MAX_EVENT_ID_LENGTH, MAX_USER_ID_LENGTH, TRIMMED_CHARACTERS
from ingestion.contracts.plain import PlainReader
from ingestion.contracts.product import Claims, ProductEvent
from ingestion.contracts.reasons import Reason
from ingestion.contracts.registry import REGISTRY, Contract, Event, Registry
from ingestion.contracts.strict_json import StrictJsonError, assure_unambiguous, decode_syntax

MAY_BE_ENGAGEMENT = (detect_family, only(Family.ENGAGEMENT))
"""Family rules under which an event may take the short way."""

_convert = msgspec.convert


class ValidEvent(msgspec.Struct, gc=False):
    """The stamps of a valid event. `occurred_at` is canonical text, None without a time. `claims`: for its receiver to judge.

    `kept`: the event's own bytes where those judged only carry it.
    """

    contract: str
    event_type: str
    user_id: str
    event_id: str | None
    occurred_at: str | None
    claims: Claims | None = None
    kept: bytes | None = None


class Rejection(msgspec.Struct, gc=False):
    """Why an event is not taken, and what is known of it. `message` names found and expected, never a payload. `kept`: see ValidEvent."""

    reason: Reason
    message: str
    event_id: str | None = None
    event_type: str | None = None
    user_id: str | None = None
    kept: bytes | None = None


Verdict = ValidEvent | Rejection
OccurredAt = Callable[[Event], str | None]
"""When an event occurred, canonical text, None when it carries no time. Raises: TimestampError."""


def own_time(event: Event) -> str | None:
    """The time that the event itself says."""
    return event.occurred_at()


class Validator:
    """Judges events received at one moment; make one per request. Not for several threads.

    `occurred_at_of` tells when an event occurred where its own word is not the last.
    """

    def __init__(
        self,
        received_at: datetime,
        first_day: date,
        registry: Registry = REGISTRY,
        occurred_at_of: OccurredAt = own_time,
    ) -> None:
        self._earliest = earliest_occurred_at(first_day)
        self._latest = latest_occurred_at(received_at)
        self._accepted = registry.accepted
        self._occurred_at_of = occurred_at_of
        self._has_plain = registry.accepted[Family.ENGAGEMENT][0].name == engagement.CONTRACT
        self.plain = PlainReader(self._earliest, self._latest, is_expected=self._has_plain)

    def judge(self, raw: bytes, family_rule: FamilyRule = detect_family, contract: Contract | None = None) -> Verdict:
        """The verdict on the bytes of one event: by `contract`, else by the newest version that it keeps."""
        if self.plain.is_expected and family_rule in MAY_BE_ENGAGEMENT and contract is None:
            event = self.plain.read(raw)
            if event is not None:
                time: str | None = event.timestamp  # type: ignore[assignment]  # a plain event has text or none
                return ValidEvent(engagement.CONTRACT, event.event_type, event.user_id, event.event_id, time)
        return self.judge_fully(raw, family_rule, contract)

    def judge_fully(self, raw: bytes, family_rule: FamilyRule, chosen: Contract | None = None) -> Verdict:
        """The same verdict without the short way."""
        try:
            document = decode_syntax(raw)
        except StrictJsonError as error:
            return Rejection(error.reason, error.message)
        if type(document) is not dict:
            return Rejection(Reason.NOT_AN_OBJECT, f"expected an object, found {_kind(document)}")
        contract: Contract | None = None
        try:
            _assure_strict(raw, document)
            family = family_rule(document)
        except (StrictJsonError, UnknownFamilyError) as error:
            return _reject(document, error.reason, str(error), None)
        self.plain.is_expected = self._has_plain and family is Family.ENGAGEMENT
        if chosen is not None:
            return self._judge_as_chosen(document, family, chosen)
        newest, *older = self._accepted[family]
        verdict = self._judge_by(document, newest)
        for contract in older:
            if type(verdict) is ValidEvent:
                break
            # The newest version's reason is the one that helps a client.
            by_older = self._judge_by(document, contract)
            verdict = by_older if type(by_older) is ValidEvent else verdict
        return verdict

    def _judge_as_chosen(self, document: dict[str, Any], family: Family, contract: Contract) -> Verdict:
        if contract.family is not family:
            message = f"the event is of the family {family.value}, the sender says {contract.name}"
            return _reject(document, Reason.UNKNOWN_CONTRACT, message, contract)
        return self._judge_by(document, contract)

    def _judge_by(self, document: dict[str, Any], contract: Contract) -> Verdict:
        try:
            event = _convert(document, contract.shape)
            _assure_free_fields(document, contract)
            return self._judge_values(document, contract, event)
        except msgspec.ValidationError as error:
            message = str(error)[:200]
            reason = Reason.MISSING_FIELD if "missing required field" in message else Reason.INVALID_FIELD
            return _reject(document, reason, message, contract)
        except StrictJsonError as error:
            return _reject(document, error.reason, error.message, contract)

    def _judge_values(self, document: dict[str, Any], contract: Contract, event: Event) -> Verdict:
        user_id = event.user_id.strip(TRIMMED_CHARACTERS)
        if not 1 <= len(user_id) <= MAX_USER_ID_LENGTH:
            message = f"user_id must have 1 to {MAX_USER_ID_LENGTH} characters after trimming, found {len(user_id)}"
            return _reject(document, Reason.INVALID_FIELD, message, contract)
        try:
            occurred_at = self._occurred_at_of(event)
        except TimestampError as error:
            return _reject(document, Reason.INVALID_FIELD, f"timestamp: {error}", contract)
        if occurred_at is not None:
            if occurred_at > self._latest:
                message = f"occurred at {occurred_at}, more than 60 s after it was received"
                return _reject(document, Reason.OCCURRED_IN_FUTURE, message, contract)
            if occurred_at < self._earliest:
                message = f"occurred at {occurred_at}, before the first day {self._earliest[:10]}"
                return _reject(document, Reason.BEFORE_FIRST_DAY, message, contract)
        if event.event_id is not None and not event.event_id.strip(TRIMMED_CHARACTERS):
            return _reject(document, Reason.INVALID_FIELD, "event_id is blank", contract)
        claims = event.claims() if type(event) is ProductEvent else None
        return ValidEvent(contract.name, event.event_type, user_id, event.event_id, occurred_at, claims)


def _assure_strict(raw: bytes, document: dict[str, Any]) -> None:
    """Raises: StrictJsonError when the bytes can be read in two ways or the envelope holds U+0000, which PostgreSQL cannot."""
    assure_unambiguous(raw, document)
    if b"\\u0000" in raw:
        for name, value in document.items():
            if "\0" in name or (type(value) is str and "\0" in value):
                raise StrictJsonError(Reason.INVALID_FIELD, "a field of the envelope holds U+0000")


def _assure_free_fields(document: dict[str, Any], contract: Contract) -> None:
    """Raises: StrictJsonError when a field that the shape does not name breaks the contract."""
    fault = contract.free_fields.fault(document) if contract.free_fields is not None else None
    if fault is not None:
        raise StrictJsonError(Reason.INVALID_FIELD, fault)


def _reject(document: dict[str, Any], reason: Reason, message: str, contract: Contract | None) -> Rejection:
    id_field, type_fields = (
        ("event_id", ("event_type",)) if contract is None else (contract.id_field, contract.type_fields)
    )
    actor_fields = (contract.actor_fields if contract is not None else ()) or ("user_id",)
    return Rejection(
        reason,
        message,
        event_id=_known_text(document.get(id_field or ""), MAX_EVENT_ID_LENGTH),
        event_type=_first_known(document, type_fields, 100),
        user_id=_first_known(document, actor_fields, MAX_USER_ID_LENGTH),
    )


def _first_known(document: dict[str, Any], names: tuple[str, ...], max_length: int) -> str | None:
    texts = (_known_text(document.get(name), max_length) for name in names)
    return next((text for text in texts if text is not None), None)


def _known_text(value: object, max_length: int) -> str | None:
    if not isinstance(value, str) or "\0" in value:
        return None
    text = value.strip(TRIMMED_CHARACTERS)
    return text if 1 <= len(text) <= max_length else None


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
