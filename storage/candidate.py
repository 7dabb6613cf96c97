"""A proposed version of a contract, given as a JSON Schema: what it is called, and what it says about one body. Pure.

Judges only what a schema can say. The rules of every version (a user id of 1 to 100 characters after trimming, readable times, 64-bit
integers) are no part of it: events in bronze have passed them. Nothing that is told about a body holds any of its values.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs
import msgspec
from jsonschema_rs import ValidationError, ValidationErrorKind

from ingestion.contracts.families import Family
from ingestion.contracts.json_shapes import UnsupportedSchemaError, read
from ingestion.contracts.reasons import Reason

_NAME = re.compile(r"([a-z]+)/([1-9][0-9]*)")
_LIMIT_TEXT_LENGTH = 60
_MISMATCHES = (ValidationErrorKind.Type, ValidationErrorKind.Enum, ValidationErrorKind.Constant)


class CandidateError(ValueError):
    """The file is no proposal of a contract; the message says what is expected."""


@dataclass(frozen=True)
class Fault:
    """Why a body fails: a reason of the platform's, the field, and the rule as the schema writes it."""

    reason: str
    path: str
    rule: str


@dataclass(frozen=True)
class Candidate:
    """A proposed version."""

    name: str
    schema: Mapping[str, Any]
    _validator: jsonschema_rs.Validator = field(repr=False, compare=False)
    _names: frozenset[str] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str | bytes) -> "Candidate":
        """The proposal in a JSON Schema whose `$id` is FAMILY/VERSION. Raises: CandidateError."""
        try:
            schema = json.loads(text)
        except ValueError as error:
            raise CandidateError(f"not JSON: {error}") from None
        if not isinstance(schema, dict):
            raise CandidateError("expected a JSON Schema, which is an object")
        name = schema.get("$id")
        match = _NAME.fullmatch(name) if isinstance(name, str) else None
        if match is None or match[1] not in set(Family):
            raise CandidateError(f"$id must be FAMILY/VERSION with a family of {', '.join(Family)}; found {name!r}")
        try:
            read(schema)
            # Not by its `$id`, which is a name and no address.
            validator = jsonschema_rs.Draft202012Validator(
                {word: value for word, value in schema.items() if word != "$id"},
                keywords={"x-same": _Same},
                offline=True,
            )
        except UnsupportedSchemaError as error:
            raise CandidateError(str(error)) from None
        except (ValueError, ValidationError) as error:
            raise CandidateError(f"not a JSON Schema: {str(error)[:200]}") from None
        return cls(str(name), schema, validator, frozenset(_field_names(schema)))

    @property
    def family(self) -> Family:
        """The family of the name."""
        return Family(self.name.partition("/")[0])

    @property
    def version(self) -> int:
        """The number of the name."""
        return int(self.name.partition("/")[2])

    def faults(self, body: bytes) -> list[Fault]:
        """Why the body fails, each reason once; nothing when it would be taken."""
        try:
            document = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return [Fault(Reason.MALFORMED_JSON.value, "", "")]
        if self._validator.is_valid(document):
            return []
        errors = self._validator.iter_errors(document)
        return list(dict.fromkeys(self._fault(telling) for error in errors for telling in _telling(error)))

    def _fault(self, error: ValidationError) -> Fault:
        path = [
            str(step) if step in self._names else "[]" if isinstance(step, int) else "*" for step in error.instance_path
        ]
        reason, kind = Reason.INVALID_FIELD, error.kind
        if isinstance(kind, ValidationErrorKind.Required):
            reason = Reason.MISSING_FIELD
            path.append(kind.property)
        elif isinstance(kind, ValidationErrorKind.AdditionalProperties):
            path.append("*")
        return Fault(reason.value, ".".join(path).replace(".[]", "[]"), self._rule(error))

    def _rule(self, error: ValidationError) -> str:
        """The keyword, with what the schema says there where that is a limit."""
        steps = [str(step) for step in error.schema_path]
        limit: Any = self.schema
        for step in error.schema_path:
            try:
                limit = limit[step]
            except (KeyError, IndexError, TypeError):
                return steps[-1] if steps else ""
        if isinstance(error.kind, ValidationErrorKind.Required):
            return "required"
        return f"{steps[-1]} {json.dumps(limit, ensure_ascii=False)}"[:_LIMIT_TEXT_LENGTH]


class _Same:
    """Our own keyword: two fields say the same where both are there."""

    def __init__(self, _parent: Any, pairs: Any, _path: Any) -> None:
        self._pairs = pairs

    def validate(self, instance: Any) -> None:
        for one, other in self._pairs if isinstance(instance, dict) else ():
            if instance.get(one) is not None and instance.get(other) is not None and instance[one] != instance[other]:
                raise ValueError("the two differ")


def _telling(error: ValidationError) -> Iterator[ValidationError]:
    """What is wrong with the alternative that was meant: the one whose type and words fit, and of these the nearest."""
    if not isinstance(error.kind, ValidationErrorKind.AnyOf) or not error.kind.context:
        yield error
        return
    depth = len(error.instance_path)

    def distance(branch: list[ValidationError]) -> tuple[int, int]:
        strangers = [item for item in branch if isinstance(item.kind, _MISMATCHES)]
        return sum(len(item.instance_path) <= depth + 1 for item in strangers), len(branch)

    for inner in min(error.kind.context, key=distance):
        yield from _telling(inner)


def _field_names(schema: Any) -> Iterator[str]:
    """Every name that the schema itself gives to a field: what else stands in a path comes from a body."""
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            yield from properties
        for value in schema.values():
            yield from _field_names(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _field_names(value)
