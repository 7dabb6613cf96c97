"""Whether events of one version of a contract can be read by another: differences between two JSON Schemas, and the verdict by level.

Pure. One question is asked both ways: what may a writer say that a reader refuses? BACKWARD: new readers take old events; FORWARD: old
readers take new events; FULL: both. The transitive levels ask it of every earlier version, the others of the last one.

Contracts are open: a field that a version does not name is not looked at. As in a schema registry's rules for Avro, such a name counts as
unused: adding an optional field breaks nothing, although an old event may by chance hold that name (`tidemark contracts check` finds
those). Where a schema says `additionalProperties`, that is compared too. What cannot be proven to be kept counts as broken. A number in
another unit means another thing: it breaks both.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ingestion.contracts.json_rules import NameRule
from ingestion.contracts.json_shapes import Alternative, Anything, Fields, Items, Scalar, Shape, Word, read

Schema = Mapping[str, Any]


class Direction(StrEnum):
    """Who can no longer read whom."""

    BACKWARD = "BACKWARD"
    FORWARD = "FORWARD"


class Level(StrEnum):
    """What a family of versions promises."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"

    @property
    def directions(self) -> frozenset[Direction]:
        """The directions that must hold."""
        word = self.value.partition("_")[0]
        return frozenset(Direction) if word == "FULL" else frozenset(way for way in Direction if way.value == word)

    @property
    def is_transitive(self) -> bool:
        """Whether every earlier version counts, not only the last one."""
        return self.value.endswith("_TRANSITIVE")


@dataclass(frozen=True)
class Difference:
    """One difference at a place (`content.size_mb`, `hashtags[]`, `metadata.*`). `breaks` is None where both can still read each other."""

    path: str
    rule: str
    message: str
    breaks: Direction | None


def differences(old: Schema, new: Schema) -> list[Difference]:
    """What changed from `old` to `new`, in the order of fields, what breaks first. Raises: UnsupportedSchemaError."""
    was, will_be = read(old), read(new)
    backward = [Difference(*fault, Direction.BACKWARD) for fault in _faults(was, will_be, "")]
    forward = [Difference(*fault, Direction.FORWARD) for fault in _faults(will_be, was, "")]
    notes = [Difference(*note, None) for note in _notes(was, will_be, "")]
    return backward + forward + notes


def broken_by(level: Level, new: Schema, earlier: Sequence[Schema]) -> list[list[Difference]]:
    """For each earlier version (oldest first) what breaks the level; empty lists where nothing does or the level does not ask.

    Raises: UnsupportedSchemaError.
    """
    asked = range(len(earlier)) if level.is_transitive else range(max(len(earlier) - 1, 0), len(earlier))
    return [
        [item for item in differences(old, new) if item.breaks in level.directions] if position in asked else []
        for position, old in enumerate(earlier)
    ]


def is_compatible(level: Level, new: Schema, earlier: Sequence[Schema]) -> bool:
    """True when the new version keeps what the level promises. Raises: UnsupportedSchemaError."""
    return not any(broken_by(level, new, earlier))


_Fault = tuple[str, str, str]
"""Path, rule, message."""


def _faults(writer: Shape, reader: Shape, path: str) -> Iterator[_Fault]:
    """Why something that the writer may say could be refused by the reader, or be misunderstood."""
    if writer.unit != reader.unit:
        yield path, "unit", f"{writer.unit or 'no unit'} is read as {reader.unit or 'no unit'}"
    refused_words = []
    for alternative in writer.alternatives:
        options = [option for option in reader.alternatives if _may_match(alternative, option)]
        inside = _path_of(alternative, writer, path)
        found = [list(_faults_of(alternative, option, inside)) for option in options]
        if not found:
            if isinstance(alternative, Word):
                refused_words.append(_text(alternative.value))
            else:
                yield path, "type", f"{_name(alternative)} is refused"
        elif all(found):
            yield from min(found, key=len)
    if refused_words:
        yield path, "values", f"refused: {', '.join(refused_words)}"


def _may_match(writer: Alternative, reader: Alternative) -> bool:
    """Whether the two are of one kind, so that it makes sense to say how they differ."""
    match writer, reader:
        case _, Anything():
            return True
        case Word(), Word():
            return bool(writer.value == reader.value) and type(writer.value) is type(reader.value)
        case Word(), Scalar():
            return _fits(writer.value, reader)
        case Scalar(), Scalar():
            return writer.kind == reader.kind or (writer.kind, reader.kind) == ("integer", "number")
        case Items(), Items():
            return True
        case Fields(), Fields():
            return not _tags_differ(writer, reader)
    return False


def _faults_of(writer: Alternative, reader: Alternative, path: str) -> Iterator[_Fault]:
    match writer, reader:
        case Scalar(), Scalar():
            yield from _bound_faults(writer.bounds, reader.bounds, path)
        case Items(), Items():
            yield from _bound_faults(writer.bounds, reader.bounds, path)
            yield from _faults(writer.each, reader.each, f"{path}[]")
        case Fields(), Fields():
            yield from _bound_faults(writer.bounds, reader.bounds, path)
            yield from _field_faults(writer, reader, path)


def _field_faults(writer: Fields, reader: Fields, path: str) -> Iterator[_Fault]:
    prefix = _prefix(path)
    for name in sorted(reader.required - writer.required):
        yield f"{prefix}{name}", "required", "may be absent, but is required"
    for name, shape in reader.named.items():
        written = writer.named.get(name)
        if written is not None:
            yield from _faults(written, shape, f"{prefix}{name}")
        elif writer.others is not None and writer.others.alternatives != (Anything(),):
            yield from _faults(writer.others, shape, f"{prefix}{name}")
    for name in (name for name in writer.named if name not in reader.named):
        if reader.others is None:
            yield f"{prefix}{name}", "closed", "is refused: fields without a name here are"
        else:
            yield from _faults(writer.named[name], reader.others, f"{prefix}{name}")
    if reader.others is None and writer.others is not None:
        yield f"{prefix}*", "closed", "fields without a name are refused"
    elif reader.others is not None and writer.others is not None:
        yield from _faults(writer.others, reader.others, f"{prefix}*")
    yield from _rule_faults(writer, reader, prefix)


def _rule_faults(writer: Fields, reader: Fields, prefix: str) -> Iterator[_Fault]:
    """The rules that span several fields."""
    for names in sorted(reader.one_of, key=sorted):
        if not (names & writer.required or any(of <= names for of in writer.one_of)):
            yield f"{prefix}{'|'.join(sorted(names))}", "one_of", "all may be absent, but one is required"
    for one, other in sorted(reader.needs - writer.needs):
        if one in writer.named and other not in writer.required:
            yield f"{prefix}{one}", "needs", f"may be there without {other}, which it asks for"
    for one, other in sorted(reader.same - writer.same):
        if one in writer.named and other in writer.named:
            yield f"{prefix}{one}", "same", f"may differ from {other}"
    yield from _object_rule_faults(writer, reader, prefix)


def _object_rule_faults(writer: Fields, reader: Fields, prefix: str) -> Iterator[_Fault]:
    """The rules of allOf, not and propertyNames."""
    for field, value, asked in sorted(reader.rules.where - writer.rules.where):
        if asked not in writer.required and not _never_says(writer, field, json.loads(value)):
            yield f"{prefix}{asked}", "allOf", f"may be absent where {field} is {value}, which asks for it"
    for names in sorted(reader.rules.excludes, key=sorted):
        is_kept = any(of <= names for of in writer.rules.excludes)
        if not is_kept and all(name in writer.named or writer.others is not None for name in names):
            yield f"{prefix}{'|'.join(sorted(names))}", "not", "may be there together, which is refused"
    if reader.rules.names is not None:
        yield from _name_faults(writer, reader.rules.names, prefix)
    for word, text in sorted(reader.rules.opaque - writer.rules.opaque):
        yield f"{prefix}*", word, f"cannot be proven to be kept: {text[:80]}"


def _name_faults(writer: Fields, allowed: NameRule, prefix: str) -> Iterator[_Fault]:
    own = writer.rules.names
    others = own.words if own is not None and writer.others is not None else frozenset[str]()
    for name in sorted({*writer.named, *others}):
        if not allowed.allows(name):
            yield f"{prefix}{name}", "propertyNames", "is refused: it is none of the names that may be"
    if writer.others is not None and (own is None or not own.patterns <= allowed.patterns):
        yield f"{prefix}*", "propertyNames", "cannot be proven to be kept by fields without a name here"


def _never_says(writer: Fields, field: str, value: Any) -> bool:
    """True when the field is always there and always something else."""
    shape = writer.named.get(field)
    return (
        shape is not None
        and field in writer.required
        and all(isinstance(item, Word) and item.value != value for item in shape.alternatives)
    )


def _bound_faults(writer: Mapping[str, Any], reader: Mapping[str, Any], path: str) -> Iterator[_Fault]:
    for word in ("minLength", "minItems", "minProperties"):
        if reader.get(word, 0) > writer.get(word, 0):
            yield path, word, f"{writer.get(word, 0)} is less than {reader[word]}"
    for word in ("maxLength", "maxItems", "maxProperties"):
        if word in reader and not (word in writer and writer[word] <= reader[word]):
            yield path, word, f"{writer.get(word, 'no bound')} is more than {reader[word]}"
    for word, exclusive, sign in (("minimum", "exclusiveMinimum", 1), ("maximum", "exclusiveMaximum", -1)):
        written, limit = _limit(writer, word, exclusive, sign), _limit(reader, word, exclusive, sign)
        if limit is not None and (written is None or written < limit):
            yield path, word, f"{_bound_text(writer, word, exclusive)} is beyond {_bound_text(reader, word, exclusive)}"
    for word in ("pattern", "multipleOf"):
        if word in reader and reader[word] != writer.get(word):
            yield path, word, f"{writer.get(word, 'anything')} need not be {reader[word]}"
    if reader.get("uniqueItems", False) and not writer.get("uniqueItems", False):
        yield path, "uniqueItems", "may hold one item twice"


def _limit(bounds: Mapping[str, Any], word: str, exclusive: str, sign: int) -> tuple[float, bool] | None:
    """The tighter of the two bounds, so turned that more is tighter; the flag says that the limit itself is out."""
    found = [(sign * bounds[name], name == exclusive) for name in (word, exclusive) if name in bounds]
    return max(found) if found else None


def _bound_text(bounds: Mapping[str, Any], word: str, exclusive: str) -> str:
    return ", ".join(f"{name} {bounds[name]}" for name in (word, exclusive) if name in bounds) or "no bound"


def _notes(old: Shape, new: Shape, path: str) -> Iterator[_Fault]:
    """What changed without breaking: fields that came or went, other defaults."""
    if old.default != new.default and path:
        was, will_be = (f"{item.default[0]!r}" if item.default else "none" for item in (old, new))
        yield path, "default", f"was {was}, is {will_be}"
    for one in old.alternatives:
        for other in new.alternatives:
            if isinstance(one, Fields) and isinstance(other, Fields) and not _tags_differ(one, other):
                prefix = _prefix(_path_of(one, old, path))
                for name, shape in one.named.items():
                    if name in other.named:
                        yield from _notes(shape, other.named[name], f"{prefix}{name}")
                    else:
                        yield f"{prefix}{name}", "removed", "is no longer looked at"
                for name in other.named:
                    if name not in one.named:
                        yield f"{prefix}{name}", "added", "may be there"


def _tags(fields: Fields) -> dict[str, set[str]]:
    """The required fields that are words of a closed set."""
    return {
        name: {_text(item.value) for item in shape.alternatives if isinstance(item, Word)}
        for name, shape in fields.named.items()
        if name in fields.required and shape.alternatives and all(isinstance(item, Word) for item in shape.alternatives)
    }


def _tags_differ(one: Fields, other: Fields) -> bool:
    """True for two objects that a required word tells apart."""
    tags, of_other = _tags(one), _tags(other)
    return any(not tags[name] & of_other[name] for name in tags.keys() & of_other.keys())


def _path_of(alternative: Alternative, shape: Shape, path: str) -> str:
    """Fields of one object of several are told apart by its word: `post_created/text`."""
    if not isinstance(alternative, Fields) or sum(isinstance(item, Fields) for item in shape.alternatives) == 1:
        return path
    return f"{path}{_word_of(alternative)}/"


def _prefix(path: str) -> str:
    return f"{path}." if path and not path.endswith("/") else path


def _word_of(fields: Fields) -> str:
    """The word that tells this object from its siblings, empty where there is none."""
    return next((next(iter(words)) for words in _tags(fields).values() if len(words) == 1), "")


def _fits(value: Any, reader: Scalar) -> bool:
    kinds = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    kind = kinds.get(type(value))
    if kind != reader.kind and (kind, reader.kind) != ("integer", "number"):
        return False
    if isinstance(value, str):
        size, pattern = {"minLength": len(value), "maxLength": len(value)}, reader.bounds.get("pattern")
        is_match = pattern is None or re.search(pattern, value) is not None
        return is_match and not any(_bound_faults({**size, "pattern": pattern}, reader.bounds, ""))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        step = reader.bounds.get("multipleOf")
        is_multiple = step is None or value % step == 0
        return is_multiple and not any(
            _bound_faults({"minimum": value, "maximum": value, "multipleOf": step}, reader.bounds, "")
        )
    return True


def _name(alternative: Alternative) -> str:
    match alternative:
        case Scalar():
            return alternative.kind
        case Items():
            return "array"
        case Fields():
            return f"object {_word_of(alternative)}".rstrip()
        case Word():
            return _text(alternative.value)
    return "any value"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
