"""From a row to the body of an event, as the mapping says. Pure: the same row gives the same bytes and the same event id, always."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec

from ingestion.contracts.clocks import TimestampError, format_utc, parse_timestamp
from ingestion.contracts.families import Family
from ingestion.contracts.reasons import Reason
from ingestion.contracts.strict_json import StrictJsonError, decode
from ingestion.contracts.validation import Rejection
from ingestion.importers.mapping import ImportMapping, Rule
from ingestion.importers.rows import Row

_NAMESPACE = uuid5(NAMESPACE_URL, "tidemark:import:row")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS_PER = {"epoch_seconds": 1_000_000, "epoch_milliseconds": 1_000, "epoch_microseconds": 1}
_encode = msgspec.json.Encoder().encode

Lookup = Callable[[dict[str, Any]], Any]


class ConvertedRow(msgspec.Struct, gc=False):
    """The event that a row says."""

    body: bytes
    family: Family | None  # None: the one that its fields name


class _Unusable(Exception):  # noqa: N818 - control flow inside this module
    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.rejection = Rejection(reason, message)


class RowConverter:
    """Converts the rows of one file. `header` names the cells of CSV rows."""

    def __init__(self, mapping: ImportMapping, header: list[str]) -> None:
        columns = mapping.columns
        self._header = header
        self._time_format = mapping.time.format
        self._event_id = _lookup(columns.event_id) if columns and columns.event_id else None
        self._event_type = _lookup(columns.event_type) if columns and columns.event_type else None
        self._user_id = _lookup(columns.user_id if columns else "user_id")
        self._timestamp = _lookup(columns.timestamp if columns else "timestamp")
        self._by_type: dict[str, _RuleApplication] = {}
        self._default: _RuleApplication | None = None
        for rule in reversed(mapping.rules):  # earlier rules win
            application = _RuleApplication(rule)
            if not rule.types:
                self._default = application
            for event_type in rule.types:
                self._by_type[event_type] = application

    def convert(self, row: Row) -> ConvertedRow | Rejection:
        """The event of a row, or why there is none."""
        if row.rejection is not None:
            return row.rejection
        try:
            document = self._document(row)
            event_type = _text(self._event_type(document), "event_type") if self._event_type else ""
            application = self._by_type.get(event_type, self._default)
            if application is None:
                raise _Unusable(Reason.UNKNOWN_FAMILY, f"no rule for the event type {event_type[:100]!r}")
            if application.rule.verbatim:
                return _as_it_is(row, application.rule.family)
            body: dict[str, Any] = {
                "event_id": self._id_of(document, row),
                "event_type": application.rule.rename or event_type,
                "user_id": _text(self._user_id(document), "user_id"),
                "timestamp": self._time_of(document),
            }
            application.fill(body, document)
            return ConvertedRow(_encode(body), application.rule.family)
        except _Unusable as unusable:
            return unusable.rejection
        except StrictJsonError as error:
            return Rejection(error.reason, error.message)

    def _document(self, row: Row) -> dict[str, Any]:
        if row.cells is not None:
            # An empty cell is an absent value: CSV knows no other way to say so.
            return {name: cell or None for name, cell in zip(self._header, row.cells, strict=True)}
        document = decode(row.raw)
        if type(document) is not dict:
            raise _Unusable(Reason.NOT_AN_OBJECT, "the line is not an object")
        return document

    def _id_of(self, document: dict[str, Any], row: Row) -> str:
        if self._event_id is not None:
            return _text(self._event_id(document), "event_id")
        # CSV: the cells, not the bytes, so that quoting and line ends do not make another event of the same row.
        canonical = _encode([self._header, row.cells]) if row.cells is not None else row.raw
        return str(uuid5(_NAMESPACE, canonical.decode()))

    def _time_of(self, document: dict[str, Any]) -> str:
        value = self._timestamp(document)
        if value is None:
            raise _Unusable(Reason.MISSING_FIELD, "the row has no timestamp")
        try:
            return parse_time(value, self._time_format)
        except TimestampError as error:
            raise _Unusable(Reason.INVALID_FIELD, f"timestamp: {error}") from None


def _as_it_is(row: Row, family: Family | None) -> ConvertedRow:
    if row.cells is not None:
        raise _Unusable(Reason.MALFORMED_ROW, "a row of CSV is no event: only NDJSON can be taken verbatim")
    return ConvertedRow(row.raw, family)


class _RuleApplication:
    """A rule with its paths resolved."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._fields = [(name, _lookup(path)) for name, path in rule.fields.items()]
        self._metadata = [(name, _lookup(path)) for name, path in rule.metadata.items()]
        self._payload_object = _lookup(rule.payload) if isinstance(rule.payload, str) else None
        paths = rule.payload if isinstance(rule.payload, dict) else {}
        self._payload = [(name, _lookup(path)) for name, path in paths.items()]

    def fill(self, body: dict[str, Any], document: dict[str, Any]) -> None:
        """Puts the family's own fields into the body."""
        if self.rule.family is Family.GENERIC:
            body["payload"] = self._make_payload(document)
            return
        body.update(self.rule.constants)
        for name, find in self._fields:
            if (value := find(document)) is not None:
                body[name] = _text(value, name)
        metadata = {
            name: value if isinstance(value, str) else _encode(value).decode()
            for name, find in self._metadata
            if (value := find(document)) is not None
        }
        if metadata:
            body["metadata"] = metadata

    def _make_payload(self, document: dict[str, Any]) -> dict[str, Any]:
        payload: dict[str, Any] = dict(self.rule.constants)
        if self._payload_object is not None:
            found = self._payload_object(document)
            if found is not None and type(found) is not dict:
                raise _Unusable(Reason.INVALID_FIELD, f"{self.rule.payload} is not an object")
            payload.update(found or {})
        for name, find in self._payload:
            if (value := find(document)) is not None:
                payload[name] = value
        return payload


def parse_time(value: object, time_format: str) -> str:
    """The canonical text of a time written in the mapping's format. Raises: TimestampError."""
    if time_format == "rfc3339":
        if not isinstance(value, str):
            raise TimestampError("expected an RFC 3339 text")
        return parse_timestamp(value)
    try:
        if time_format in _MICROSECONDS_PER:
            number = Decimal(str(value).strip())
            return format_utc(_EPOCH + timedelta(microseconds=int(number * _MICROSECONDS_PER[time_format])))
        moment = datetime.strptime(str(value).strip(), time_format)
        return format_utc(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError, InvalidOperation):
        raise TimestampError(f"not a time of the format {time_format}") from None


def _lookup(path: str) -> Lookup:
    """Finds the value at a path; a column whose name has dots itself is found before nested objects."""
    first, *rest = path.split(".")
    if not rest:
        return lambda document: document.get(path)

    def find(document: dict[str, Any]) -> Any:
        if path in document:
            return document[path]
        value: Any = document.get(first)
        for name in rest:
            if type(value) is not dict:
                return None
            value = value.get(name)
        return value

    return find


def _text(value: object, name: str) -> str:
    if value is None:
        raise _Unusable(Reason.MISSING_FIELD, f"the row has no {name}")
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    raise _Unusable(Reason.INVALID_FIELD, f"{name} is neither text nor a whole number")
