"""Rules of a JSON Schema over a whole object: `allOf`, `not` and `propertyNames`, as values that can be compared. Pure.

The forms that contracts are written in are told by what they mean. Any other is kept as its text: whoever compares knows nothing of it but
whether the other side says the very same.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NameRule:
    """Every field's name is one of the words or matches one of the patterns."""

    words: frozenset[str]
    patterns: frozenset[str]

    def allows(self, name: str) -> bool:
        """False also where a pattern cannot be tried here."""
        try:
            return name in self.words or any(re.search(pattern, name) for pattern in self.patterns)
        except re.error:
            return False


@dataclass(frozen=True)
class ObjectRules:
    """What an object must keep beside its fields' own shapes."""

    where: frozenset[tuple[str, str, str]] = frozenset()
    """(field, JSON of a value, the field that it asks for)."""
    excludes: frozenset[frozenset[str]] = frozenset()
    """Fields of which not all are there."""
    names: NameRule | None = None
    opaque: frozenset[tuple[str, str]] = frozenset()
    """(word, its schema as text)."""


def read_rules(said: Mapping[str, Any]) -> ObjectRules:
    """The rules of the three words. Raises: ValueError where one depends on the rest of its document."""
    where: set[tuple[str, str, str]] = set()
    excludes: set[frozenset[str]] = set()
    names: NameRule | None = None
    opaque: set[tuple[str, str]] = set()
    for word, rule in _each(said):
        text = json.dumps(rule, sort_keys=True)
        if '"$ref"' in text or '"$dynamicRef"' in text:
            raise ValueError(f"cannot compare $ref within {word}")
        asked, excluded, allowed = _asked_where(word, rule), _excluded(word, rule), _names(word, rule)
        if asked is not None:
            where |= asked
        elif excluded is not None:
            excludes.add(excluded)
        elif allowed is not None:
            names = allowed
        else:
            opaque.add((word, text))
    return ObjectRules(frozenset(where), frozenset(excludes), names, frozenset(opaque))


def _each(said: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for word, rule in said.items():
        if word == "allOf" and isinstance(rule, list):
            yield from ((word, item) for item in rule)
        else:
            yield word, rule


def _asked_where(word: str, rule: Any) -> set[tuple[str, str, str]] | None:
    match word, rule:
        case "allOf", {"if": {"properties": condition, **more_if}, "then": {"required": asked, **more_then}, **more}:
            is_plain = not (more_if or more_then or more) and isinstance(condition, dict) and len(condition) == 1
            if is_plain and isinstance(asked, list):
                ((field, says),) = condition.items()
                if isinstance(says, dict) and says.keys() == {"const"}:
                    return {(field, json.dumps(says["const"], sort_keys=True), name) for name in asked}
    return None


def _excluded(word: str, rule: Any) -> frozenset[str] | None:
    match word, rule:
        case "not", {"required": [*names], **more} if not more:
            return frozenset(names)
    return None


def _names(word: str, rule: Any) -> NameRule | None:
    if word != "propertyNames" or not isinstance(rule, dict):
        return None
    words: set[str] = set()
    patterns: set[str] = set()
    for option in rule["anyOf"] if rule.keys() == {"anyOf"} else [rule]:
        match option:
            case {"enum": [*found], **more} if not more and all(isinstance(name, str) for name in found):
                words |= set(found)
            case {"pattern": str(pattern), **more} if not more:
                patterns.add(pattern)
            case _:
                return None
    return NameRule(frozenset(words), frozenset(patterns))
