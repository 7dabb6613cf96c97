"""An event as the SDK holds it: checked against its contract and written down as bytes, once.

What the edge would refuse is refused here, by the same contracts. The bytes never change afterwards: a copy that is sent again is the
same event, id and all. Holds no I/O; the caller gives the time.
"""

import json
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from ingestion.contracts.clocks import format_utc
from ingestion.contracts.families import Family, UnknownFamilyError, detect_family, only
from ingestion.contracts.reasons import Reason
from ingestion.contracts.registry import NEWEST
from ingestion.contracts.validation import Rejection, Validator
from ingestion.sdk.errors import InvalidEventError

SDK_VERSION = "tidemark-python/0.1.0"
EVENT_MAX_BYTES = 1024 * 1024
"""What the edge takes for one event unless it is set otherwise."""
FIRST_DAY = date(2015, 1, 1)
"""The edge's default. Also what tells seconds given for milliseconds."""

_write = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class _Named(msgspec.Struct, gc=False):
    event_id: str = ""


_read_name = msgspec.json.Decoder(_Named).decode


def event_id_of(raw: bytes) -> str:
    """The id in the bytes of an event that was checked."""
    return _read_name(raw).event_id


def new_event_id(moment: datetime) -> str:
    """A fresh UUID of version 7, which sorts by `moment`."""
    milliseconds = f"{_milliseconds(moment) & 0xFFFFFFFFFFFF:012x}"
    tail = os.urandom(10).hex()
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7{tail[:3]}-{'89ab'[int(tail[3], 16) & 3]}{tail[4:7]}-{tail[7:19]}"


@dataclass(frozen=True, slots=True)
class Event:
    """One checked event. Make it with `create`; `raw` is the JSON that is sent."""

    family: Family
    event_id: str
    raw: bytes
    app_id: str | None = None
    source: str | None = None
    experiment_id: str | None = None
    variant: str | None = None

    @classmethod
    def create(
        cls,
        user_id: str | None = None,
        event_type: str | None = None,
        experiment_id: str | None = None,
        variant: str | None = None,
        properties: dict[str, Any] | None = None,
        *,
        family: Family | str = Family.PRODUCT,
        now: datetime | None = None,
        **fields: Any,
    ) -> "Event":
        """The event of a family, a product event unless said otherwise; `fields` are the contract's others.

        What is absent is filled in: `event_id`, the event's time (`now`, by default the system's), and for product events
        `producer_ts` and `sdk_version`. A field that is None counts as absent. Raises: InvalidEventError.
        """
        family, moment = _known_family(family), now or datetime.now(UTC)
        given: dict[str, Any] = {"user_id": user_id, "event_type": event_type, "experiment_id": experiment_id,
                                 "variant": variant, "properties": properties, **fields}  # fmt: skip
        document = {name: value for name, value in given.items() if value is not None}
        _fill_in(document, family, moment)
        raw = _encode(document)
        event_id = _judge(document, raw, family, moment)
        is_product = family is Family.PRODUCT
        return cls(
            family,
            event_id,
            raw,
            app_id=document.get("app_id") if is_product else None,
            source=document.get("source") if is_product else None,
            experiment_id=document.get("experiment_id") if is_product else None,
            variant=document.get("variant") if is_product else None,
        )

    def completed(self, app_id: str, source: str) -> bytes:
        """The bytes with the client's app and source, which only product events carry. Raises: InvalidEventError."""
        if self.family is not Family.PRODUCT:
            return self.raw
        if self.app_id is not None and self.app_id != app_id:
            raise InvalidEventError(Reason.WRONG_APP, f"the client is of {app_id}, the event of {self.app_id}")
        more = {} if self.app_id is not None else {"app_id": app_id}
        if self.source is None:
            more["source"] = source
        raw = self.raw[:-1] + b"," + _encode(more)[1:] if more else self.raw
        _assure_size(raw)
        return raw


def _known_family(family: Family | str) -> Family:
    try:
        return Family(family)
    except ValueError:
        message = f"expected a family of {', '.join(Family)}, found {family}"
        raise InvalidEventError(Reason.UNKNOWN_FAMILY, message) from None


def _fill_in(document: dict[str, Any], family: Family, moment: datetime) -> None:
    document.setdefault("event_id", new_event_id(moment))
    if family is Family.PRODUCT:
        if "event_time" not in document:
            document.setdefault("event_ts", _milliseconds(moment))
        document.setdefault("producer_ts", _milliseconds(moment))
        document.setdefault("sdk_version", SDK_VERSION)
    else:
        is_milliseconds = "timestamp" in NEWEST[family].millisecond_fields
        document.setdefault("timestamp", _milliseconds(moment) if is_milliseconds else format_utc(moment))


def _encode(document: dict[str, Any]) -> bytes:
    """JSON that every reader reads alike. Raises: InvalidEventError where a value has no such form."""
    try:
        return _write(document).encode()
    except TypeError as error:
        raise InvalidEventError(Reason.INVALID_FIELD, f"{error}; give text, numbers, lists and dicts") from None
    except UnicodeEncodeError:
        raise InvalidEventError(Reason.MALFORMED_JSON, "a string holds half of a surrogate pair") from None
    except RecursionError:
        raise InvalidEventError(Reason.TOO_DEEP, "a value is nested too deep") from None
    except ValueError as error:
        reason = Reason.NOT_FINITE_NUMBER if "float" in str(error) else Reason.INVALID_FIELD
        raise InvalidEventError(reason, str(error)) from None


def _judge(document: dict[str, Any], raw: bytes, family: Family, moment: datetime) -> str:
    """The event's id when the contract holds, on a line among others too. Raises: InvalidEventError."""
    _assure_size(raw)
    verdict = Validator(moment, FIRST_DAY).judge(raw, only(family))
    if isinstance(verdict, Rejection):
        raise InvalidEventError(verdict.reason, verdict.message)
    try:
        found = detect_family(document)
    except UnknownFamilyError as error:
        raise InvalidEventError(error.reason, str(error)) from None
    if found is not family:
        raise InvalidEventError(Reason.UNKNOWN_FAMILY, f"the fields are those of a {found} event, expected {family}")
    return str(document["event_id"])


def _assure_size(raw: bytes) -> None:
    if len(raw) > EVENT_MAX_BYTES:
        message = f"one event may have {EVENT_MAX_BYTES} bytes, found {len(raw)}"
        raise InvalidEventError(Reason.BODY_TOO_LARGE, message)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
