"""Repairs of rejected bodies: set, rename, cast or drop a field. Pure: the same bytes and fix give the same bytes, always.

A few lines of TOML, in the manner of a mapping of `tidemark import`:

    [[rules]]                        # the first rule that fits a record is applied; a record that none fits keeps its bytes
    reasons = ["missing_field"]      # reason codes; without it every reason
    types = ["click"]                # event types, as the body or else the stamp says; without it every type
    family = "engagement"            # which contract judges the result; without it the fields decide
    rename = { plattform = "platform" }
    set = { platform = "web" }
    cast = { timestamp = "epoch_seconds" }   # text, integer, number, boolean, or a time format of an import's mapping
    drop = ["debug"]

Within a rule: rename, set, cast, drop. Dots go down into nested objects. A whole mapping of `tidemark import` is a fix too: it makes
the event anew from a rejected row.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from ingestion.contracts.clocks import TimestampError
from ingestion.contracts.families import Family
from ingestion.contracts.quarantine import QuarantinedRecord
from ingestion.contracts.reasons import Reason
from ingestion.contracts.strict_json import StrictJsonError, decode
from ingestion.contracts.validation import Rejection
from ingestion.importers.conversion import RowConverter, parse_time
from ingestion.importers.errors import MappingError
from ingestion.importers.mapping import ColumnPath, ImportMapping, read_toml, validated
from ingestion.importers.rows import Row
from ingestion.redrive.errors import FixError

_encode = msgspec.json.Encoder().encode
_TIME_FORMATS = ("rfc3339", "epoch_seconds", "epoch_milliseconds", "epoch_microseconds")
_ABSENT = object()


@dataclass(frozen=True)
class Repaired:
    """Bytes to judge, and the family that judges them; None: the one that the fields name."""

    body: bytes
    family: Family | None = None


class Fix(Protocol):
    """What may be done to a record before it is judged."""

    @property
    def fingerprint(self) -> str | None:
        """Changes when the fix means something else; None when it does nothing."""
        ...

    def apply(self, record: QuarantinedRecord, text: bytes) -> Repaired | Rejection:
        """The record's JSON `text`, repaired, or why it cannot be."""
        ...


class FixRule(BaseModel):
    """One rule of a fix."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reasons: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    family: Family | None = None
    rename: dict[ColumnPath, ColumnPath] = {}
    set_: dict[ColumnPath, Any] = Field(default={}, alias="set")
    cast: dict[ColumnPath, str] = {}
    drop: tuple[ColumnPath, ...] = ()

    @property
    def changes_bytes(self) -> bool:
        """False for a rule that only names the family."""
        return bool(self.rename or self.set_ or self.cast or self.drop)


class _FixFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: tuple[FixRule, ...] = Field(min_length=1)


class NoFix:
    """Leaves every record as it is: what was rejected for what has changed since is taken now."""

    fingerprint = None

    def apply(self, record: QuarantinedRecord, text: bytes) -> Repaired | Rejection:  # noqa: ARG002 - the protocol's signature
        """See Fix."""
        return Repaired(text)


class RuleFix:
    """The first rule that fits."""

    def __init__(self, rules: tuple[FixRule, ...]) -> None:
        for rule in rules:
            for path, kind in rule.cast.items():
                if kind not in _CASTS and kind not in _TIME_FORMATS and "%" not in kind:
                    known = ", ".join([*_CASTS, *_TIME_FORMATS])
                    raise FixError(f"cast of {path}: expected {known} or a strptime pattern, found {kind!r}")
        self._rules = rules
        self.fingerprint = hashlib.sha256(b"".join(rule.model_dump_json().encode() for rule in rules)).hexdigest()

    def apply(self, record: QuarantinedRecord, text: bytes) -> Repaired | Rejection:
        """See Fix."""
        document: Any = _ABSENT
        for rule in self._rules:
            if rule.reasons and not reason_matches(record.reason, rule.reasons):
                continue
            if not rule.types and not rule.changes_bytes:
                return Repaired(text, rule.family)
            if document is _ABSENT:
                try:
                    document = decode(text)
                except StrictJsonError as error:
                    return Rejection(error.reason, error.message)
                if type(document) is not dict:
                    return Rejection(Reason.NOT_AN_OBJECT, "the fields of what is no object cannot be repaired")
            if rule.types and document.get("event_type", record.event_type) not in rule.types:
                continue
            if not rule.changes_bytes:
                return Repaired(text, rule.family)
            try:
                _repair(document, rule)
            except _UnrepairableError as error:
                return Rejection(Reason.INVALID_FIELD, str(error))
            return Repaired(_encode(document), rule.family)
        return Repaired(text)


class MappingFix:
    """A mapping of `tidemark import`, for rows of NDJSON that it, or an earlier one, could not convert."""

    def __init__(self, mapping: ImportMapping) -> None:
        self.fingerprint = mapping.fingerprint
        self._converter = RowConverter(mapping, [])

    def apply(self, record: QuarantinedRecord, text: bytes) -> Repaired | Rejection:  # noqa: ARG002 - the protocol's signature
        """See Fix."""
        converted = self._converter.convert(Row(text))
        return converted if isinstance(converted, Rejection) else Repaired(converted.body, converted.family)


def load_fix(path: Path) -> Fix:
    """The fix of a TOML file; one with `[columns]` is a mapping of `tidemark import`. Raises: FixError."""
    try:
        document = read_toml(path)
        if "columns" in document:
            mapping = validated(ImportMapping, document, path.name)
            if mapping.format == "csv":
                raise FixError(f"{path.name}: a rejected row of CSV has lost its header; import the file again instead")
            return MappingFix(mapping)
        return RuleFix(validated(_FixFile, document, path.name).rules)
    except MappingError as error:
        raise FixError(str(error)) from None


def reason_matches(reason: str, wanted: tuple[str, ...]) -> bool:
    """True when the reason is one of these, whatever field is to blame: `missing_field` takes `missing_field:user_id` too."""
    return reason in wanted or reason.partition(":")[0] in wanted


class _UnrepairableError(Exception):
    """The message names a field and what was expected of it, never what it holds."""


def _repair(document: dict[str, Any], rule: FixRule) -> None:
    for old, new in rule.rename.items():
        value = _take(document, old)
        if value is not _ABSENT:
            _put(document, new, value)
    for path, value in rule.set_.items():
        _put(document, path, value)
    for path, kind in rule.cast.items():
        value = _take(document, path)
        if value is not _ABSENT:
            _put(document, path, _cast(value, kind, path))
    for path in rule.drop:
        _take(document, path)


def _take(document: dict[str, Any], path: str) -> Any:
    """Removes the value at a path; a name with dots itself is found before nested objects."""
    if path in document:
        return document.pop(path)
    parent = _parent(document, path, makes=False)
    return _ABSENT if parent is None else parent.pop(path.rpartition(".")[2], _ABSENT)


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    if "." not in path or path in document:
        document[path] = value
        return
    parent = _parent(document, path, makes=True)
    if parent is None:
        raise _UnrepairableError(f"{path} lies in what is no object")
    parent[path.rpartition(".")[2]] = value


def _parent(document: dict[str, Any], path: str, *, makes: bool) -> dict[str, Any] | None:
    found: Any = document
    for name in path.split(".")[:-1]:
        found = found.setdefault(name, {}) if makes else found.get(name)
        if type(found) is not dict:
            return None
    return found  # type: ignore[no-any-return]  # a dict, by the loop


def _cast(value: Any, kind: str, path: str) -> Any:
    if value is None:
        return None
    try:
        return _CASTS[kind](value) if kind in _CASTS else parse_time(value, kind)
    except (TimestampError, ValueError, TypeError, OverflowError):
        raise _UnrepairableError(f"{path} cannot be cast to {kind}") from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()


def _integer(value: Any) -> int:
    number = int(value) if isinstance(value, str | int) else value
    if int(number) != number:
        raise ValueError("not a whole number")
    return int(number)


def _number(value: Any) -> float | int:
    return value if type(value) in (int, float) else float(value)


def _boolean(value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    text = _text(value).strip().lower()
    if text not in words:
        raise ValueError("not a boolean")
    return words[text]


_CASTS: dict[str, Callable[[Any], Any]] = {"text": _text, "integer": _integer, "number": _number, "boolean": _boolean}
