"""From a Kafka record to a hot event, or to the reason why it is none. Pure.

The rules are landing's (`streaming.transforms`), in the same order and with the same words, so that the hot store holds what bronze holds
as good; a test holds both to one table of records. One rule more is the hot store's own: a body must be a JSON object, or Avro that a
registered schema reads.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import msgspec

from ingestion.contracts import avro_wire, headers
from ingestion.contracts.clocks import FUTURE_TOLERANCE_SECONDS
from ingestion.contracts.reasons import Reason
from ingestion.contracts.registry import CONTRACTS
from storage.hot_store.events import HotEvent

Headers = tuple[tuple[str, bytes | None], ...]
ReadAvro = Callable[[bytes], bytes]
"""JSON text of an Avro body. Raises: avro_wire.AvroError."""

_REQUIRED = (
    headers.EVENT_ID,
    headers.SOURCE,
    headers.EVENT_TYPE,
    headers.DATA_SCHEMA,
    headers.OCCURRED_AT,
    headers.RECEIVED_AT,
)
# What Spark's try_to_timestamp takes of RFC 3339: capitals only, no hour 24, zones up to 18 hours.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-](?:0\d|1[0-7]):[0-5]\d|[+-]18:00)", re.ASCII
)
_TOLERANCE = timedelta(seconds=FUTURE_TOLERANCE_SECONDS)
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the live topic."""

    topic: str
    partition: int
    offset: int
    timestamp_milliseconds: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class RejectedRecordError(Exception):
    """The record is no hot event. The message says why, without what is in it."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RecordParser:
    """Turns records into events."""

    def __init__(self, first_day: date, read_avro: ReadAvro) -> None:
        self._earliest = datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC)
        self._read_avro = read_avro

    def parse(self, record: Record) -> HotEvent:
        """The event. Raises: RejectedRecordError."""
        value = record.value
        if not value:
            raise RejectedRecordError(Reason.EMPTY_VALUE, "the record has no value")
        stamps = _stamps(record.headers)
        missing = [name for name in _REQUIRED if not stamps.get(name)]
        if missing:
            raise RejectedRecordError(Reason.MISSING_HEADER, f"no text in {', '.join(missing)}")
        contract = stamps[headers.DATA_SCHEMA]
        if contract not in CONTRACTS:
            raise RejectedRecordError(Reason.UNKNOWN_CONTRACT, "ce_dataschema names no contract of this version")
        received_at = _instant(stamps[headers.RECEIVED_AT])
        if received_at is None:
            raise RejectedRecordError(Reason.BAD_RECEIVED_AT, "ce_receivedat is no RFC 3339 time")
        occurred_at = self._occurred_at(stamps[headers.OCCURRED_AT], record.timestamp_milliseconds)
        body, document = self._read(contract, value, record.key is None)
        return HotEvent(
            stamps[headers.SOURCE],
            stamps[headers.EVENT_ID],
            stamps[headers.EVENT_TYPE],
            _user_id(record.key, document),
            occurred_at,
            received_at,
            contract,
            body,
            record.partition,
            record.offset,
        )

    def _occurred_at(self, text: str, timestamp_milliseconds: int) -> datetime:
        occurred_at = _instant(text)
        if occurred_at is None:
            raise RejectedRecordError(Reason.BAD_OCCURRED_AT, "ce_time is no RFC 3339 time")
        if occurred_at < self._earliest:
            raise RejectedRecordError(Reason.BEFORE_FIRST_DAY, f"ce_time is before {self._earliest.date()}")
        appended_at = datetime.fromtimestamp(timestamp_milliseconds / 1000, UTC)
        if occurred_at > appended_at + _TOLERANCE:
            raise RejectedRecordError(Reason.OCCURRED_IN_FUTURE, "ce_time is ahead of the broker's clock")
        return occurred_at

    def _read(self, contract: str, value: bytes, needs_user: bool) -> tuple[bytes, Mapping[str, object]]:
        """The body as JSON text and as what it says."""
        if avro_wire.is_avro(contract, value):
            try:
                value = self._read_avro(value)
            except avro_wire.AvroError as error:
                raise RejectedRecordError(error.reason, error.message) from None
        document = _json_of(value)
        if needs_user and (not isinstance(document, dict) or document.get("user_id") is None):
            raise RejectedRecordError(Reason.NULL_KEY, "the record has no key, its value no user_id")
        if isinstance(document, msgspec.DecodeError):
            raise RejectedRecordError(Reason.MALFORMED_JSON, f"the value is no JSON: {document}")
        if not isinstance(document, dict):
            raise RejectedRecordError(Reason.NOT_AN_OBJECT, "the value is no JSON object")
        return value, document


def _json_of(value: bytes) -> object:
    """What the text says, or the error that says why it is none. Raises: RejectedRecordError for text that is not UTF-8."""
    try:
        value.decode()
        return _decode(value)
    except UnicodeDecodeError:
        raise RejectedRecordError(Reason.INVALID_UTF8, "the value is not valid UTF-8") from None
    except msgspec.DecodeError as error:
        return error
    except RecursionError:
        return msgspec.DecodeError("nested too deeply")


def _stamps(found: Headers) -> dict[str, str]:
    """The first header of each name, where it is text."""
    stamps: dict[str, str] = {}
    for name, value in found:
        if name not in stamps:
            try:
                stamps[name] = "" if value is None else value.decode()
            except UnicodeDecodeError:
                stamps[name] = ""
    return stamps


def _instant(text: str) -> datetime | None:
    if _TIME.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _user_id(key: bytes | None, document: Mapping[str, object]) -> str:
    """The key is the user; a producer without a key has it in the value."""
    if key is not None:
        try:
            return key.decode()
        except UnicodeDecodeError:
            if document.get("user_id") is None:
                raise RejectedRecordError(Reason.NULL_KEY, "the key is no text, the value has no user_id") from None
    user_id = document["user_id"]
    return user_id if isinstance(user_id, str) else msgspec.json.encode(user_id).decode()
