"""JSON Schemas as values that can be compared: which kinds of JSON a place takes, and within which bounds.

Reads the part of draft 2020-12 that the contracts are written in. What it does not know it refuses, because a keyword that is passed by in
silence would make two schemas look more alike than they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ingestion.contracts.json_rules import ObjectRules, read_rules

SCALARS = ("string", "integer", "number", "boolean", "null")
_ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "deprecated", "format", "discriminator", "$comment", "$schema", "$id", "$defs"}
)  # fmt: skip
_BOUNDS: Mapping[str, frozenset[str]] = {
    "string": frozenset({"minLength", "maxLength", "pattern"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    "array": frozenset({"minItems", "maxItems", "uniqueItems"}),
    "object": frozenset({"minProperties", "maxProperties"}),
    "boolean": frozenset(),
    "null": frozenset(),
}
_STRUCTURE: Mapping[str, frozenset[str]] = {
    "array": frozenset({"items"}),
    "object": frozenset({"properties", "required", "additionalProperties", "anyOf", "dependentRequired", "x-same"}),
}
# Where a place takes objects alone: they would hold for its other kinds too.
_OBJECT_RULES = frozenset({"allOf", "not", "propertyNames"})


class UnsupportedSchemaError(ValueError):
    """The schema says something that cannot be compared; the message names the place and the keyword."""


@dataclass(frozen=True)
class Anything:
    """Any JSON value."""


@dataclass(frozen=True)
class Word:
    """One value of a closed set."""

    value: Any


@dataclass(frozen=True)
class Scalar:
    """A string, number, boolean or null within bounds, which go by their JSON Schema keywords."""

    kind: str
    bounds: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Items:
    """An array."""

    each: "Shape"
    bounds: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fields:
    """An object. `others` is what fields without a name of their own may be, None where there may be none."""

    named: Mapping[str, "Shape"]
    required: frozenset[str]
    others: "Shape | None"
    one_of: frozenset[frozenset[str]] = frozenset()
    """Of each set at least one field is there."""
    needs: frozenset[tuple[str, str]] = frozenset()
    """(field, the field that it asks for)."""
    same: frozenset[tuple[str, str]] = frozenset()
    """Fields that say the same where both are there."""
    bounds: Mapping[str, Any] = field(default_factory=dict)
    rules: ObjectRules = field(default_factory=ObjectRules)


Alternative = Anything | Word | Scalar | Items | Fields


@dataclass(frozen=True)
class Shape:
    """What a place takes: any of the alternatives. `default` is JSON Schema's, as a tuple of one, empty where there is none."""

    alternatives: tuple[Alternative, ...]
    unit: str | None = None
    default: tuple[Any, ...] = ()


def read(schema: Mapping[str, Any]) -> Shape:
    """The shape that a schema describes. Raises: UnsupportedSchemaError."""
    return _Reader(schema).shape(schema, "")


class _Reader:
    """Reads one document; `$ref` points into it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._open: list[str] = []

    def shape(self, schema: Any, path: str) -> Shape:
        if schema is True or schema is False:
            return Shape((Anything(),) if schema else ())
        if not isinstance(schema, Mapping):
            raise UnsupportedSchemaError(f"{path or '(root)'}: expected a schema, found {type(schema).__name__}")
        alternatives = self._alternatives(schema, path)
        default = (schema["default"],) if "default" in schema else ()
        return Shape(alternatives, self._unit(schema), default)

    def _unit(self, schema: Mapping[str, Any]) -> str | None:
        """A nullable field carries its unit inside."""
        if "x-unit" in schema:
            return str(schema["x-unit"])
        options = schema.get("anyOf", ()) if "type" not in schema else ()
        return next((str(item["x-unit"]) for item in options if isinstance(item, Mapping) and "x-unit" in item), None)

    def _alternatives(self, schema: Mapping[str, Any], path: str) -> tuple[Alternative, ...]:
        said = {
            word for word in schema if word not in _ANNOTATIONS and not (word.startswith("x-") and word != "x-same")
        }
        if not said:
            return (Anything(),)
        if "$ref" in said:
            self._refuse(said - {"$ref"}, path)
            return self._referred(str(schema["$ref"]), path)
        if "enum" in said or "const" in said:
            self._refuse(said - {"enum", "const", "type"}, path)
            return tuple(Word(value) for value in ([schema["const"]] if "const" in said else schema["enum"]))
        if "type" not in said:
            self._refuse(said - {"anyOf"}, path, "; say the type")
            options = [self.shape(option, path) for option in schema["anyOf"]]
            return tuple(alternative for option in options for alternative in option.alternatives)
        kinds = [schema["type"]] if isinstance(schema["type"], str) else list(schema["type"])
        known: set[str] = {"type"}
        for kind in kinds:
            if kind not in _BOUNDS:
                raise UnsupportedSchemaError(f"{path or '(root)'}: no such type: {kind!r}")
            known |= _BOUNDS[kind] | _STRUCTURE.get(kind, frozenset())
        self._refuse(said - known - (_OBJECT_RULES if kinds == ["object"] else frozenset()), path)
        return tuple(self._alternative(kind, schema, path) for kind in kinds)

    def _alternative(self, kind: str, schema: Mapping[str, Any], path: str) -> Alternative:
        bounds = {word: schema[word] for word in sorted(_BOUNDS[kind]) if word in schema}
        if kind == "array":
            return Items(self.shape(schema.get("items", True), f"{path}[]"), bounds)
        if kind == "object":
            return self._fields(schema, path, bounds)
        return Scalar(kind, bounds)

    def _fields(self, schema: Mapping[str, Any], path: str, bounds: Mapping[str, Any]) -> Fields:
        prefix = f"{path}." if path else ""
        named = {name: self.shape(of, f"{prefix}{name}") for name, of in schema.get("properties", {}).items()}
        others = self.shape(schema.get("additionalProperties", True), f"{prefix}*")
        one_of: set[frozenset[str]] = set()
        if "anyOf" in schema:
            for option in schema["anyOf"]:
                self._refuse(set(option) - {"required"}, path, " within anyOf beside a type")
            if any(len(option["required"]) != 1 for option in schema["anyOf"]):
                raise UnsupportedSchemaError(f"{path or '(root)'}: anyOf of several required fields at once")
            one_of.add(frozenset(option["required"][0] for option in schema["anyOf"]))
        try:
            rules = read_rules({word: schema[word] for word in _OBJECT_RULES & schema.keys()})
        except ValueError as error:
            raise UnsupportedSchemaError(f"{path or '(root)'}: {error}") from None
        needs = {(one, other) for one, asked in schema.get("dependentRequired", {}).items() for other in asked}
        same = {(one, other) for one, other in schema.get("x-same", ())}
        return Fields(
            named,
            frozenset(schema.get("required", ())),
            others if others.alternatives else None,
            frozenset(one_of),
            frozenset(needs),
            frozenset(same),
            bounds,
            rules,
        )

    def _referred(self, ref: str, path: str) -> tuple[Alternative, ...]:
        if ref in self._open:
            raise UnsupportedSchemaError(f"{path or '(root)'}: {ref} refers to itself")
        target: Any = self._document
        try:
            for step in ref.removeprefix("#/").split("/"):
                target = target[step.replace("~1", "/").replace("~0", "~")]
        except (KeyError, TypeError):
            raise UnsupportedSchemaError(f"{path or '(root)'}: nothing is at {ref!r}") from None
        self._open.append(ref)
        try:
            return self.shape(target, path).alternatives
        finally:
            self._open.pop()

    def _refuse(self, words: set[str] | frozenset[str], path: str, hint: str = "") -> None:
        if words:
            raise UnsupportedSchemaError(f"{path or '(root)'}: cannot compare {', '.join(sorted(words))}{hint}")
