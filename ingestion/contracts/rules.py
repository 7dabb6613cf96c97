"""Rules that span several fields of a contract, said once: shapes check them, SQL and JSON Schema are written from them.

A shape lists its rules in the class variable RULES and calls `check` from `__post_init__`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec


@dataclass(frozen=True)
class AnyOf:
    """One of two fields must be there."""

    names: tuple[str, str]

    def fault(self, one: Any, other: Any) -> str | None:
        """What is wrong, None when nothing is."""
        return (
            f"missing required field `{self.names[0]}` (or `{self.names[1]}`)"
            if one is None and other is None
            else None
        )


@dataclass(frozen=True)
class Same:
    """Two names of one thing must say the same when both are there."""

    names: tuple[str, str]

    def fault(self, one: Any, other: Any) -> str | None:
        """What is wrong, None when nothing is."""
        differs = one is not None and other is not None and one != other
        return f"{self.names[0]} and {self.names[1]} differ" if differs else None


@dataclass(frozen=True)
class Needs:
    """The first field asks for the second."""

    names: tuple[str, str]

    def fault(self, one: Any, other: Any) -> str | None:
        """What is wrong, None when nothing is."""
        is_missing = one is not None and other is None
        return f"missing required field `{self.names[1]}`, which {self.names[0]} asks for" if is_missing else None


@dataclass(frozen=True)
class NeedsWhere:
    """Where the first field has this value, it asks for the second."""

    names: tuple[str, str]
    value: str

    def fault(self, one: Any, other: Any) -> str | None:
        """What is wrong, None when nothing is."""
        is_missing = one == self.value and other is None
        return f"missing required field `{self.names[1]}`, which {self.value} asks for" if is_missing else None


@dataclass(frozen=True)
class Matches:
    """The text of a field, where it is there, matches the pattern as a whole. `what` names what such a text is.

    The pattern is read by Python, by RE2 in SQL and by JSON Schema: no look-around, code points as \\xHH, \\uHHHH or \\UHHHHHHHH.
    """

    names: tuple[str]
    pattern: str
    what: str

    def fault(self, value: Any) -> str | None:
        """What is wrong, None when nothing is."""
        if value is None or (isinstance(value, str) and _compiled(self.pattern).fullmatch(value)):
            return None
        return f"{self.names[0]} must be {self.what}"


Rule = AnyOf | Same | Needs | NeedsWhere | Matches


@dataclass(frozen=True)
class FreeFields:
    """What a contract asks of the fields that its shape does not name: names by a pattern, values of simple types.

    A text matches `text_pattern`, an integer has 32 bits. `exclusive`: two fields of the shape of which a body may have one.
    """

    known: frozenset[str]
    name_pattern: str
    text_pattern: str
    exclusive: tuple[str, str]

    INTEGERS = (-(2**31), 2**31 - 1)

    def fault(self, document: Mapping[str, Any]) -> str | None:
        """What is wrong with the object, None when nothing is."""
        if all(name in document for name in self.exclusive):
            return f"{self.exclusive[0]} and {self.exclusive[1]} exclude each other"
        for name, value in document.items():
            if name in self.known:
                continue
            if not _compiled(self.name_pattern).fullmatch(name):
                return "the name of a field must match " + self.name_pattern
            if not self._is_simple(value):
                return "a field beside the named ones must be a text without control characters, a boolean or a 32-bit integer"
        return None

    def _is_simple(self, value: Any) -> bool:
        if isinstance(value, str):
            return _compiled(self.text_pattern).fullmatch(value) is not None
        if value is None or isinstance(value, bool):
            return True
        return isinstance(value, int) and self.INTEGERS[0] <= value <= self.INTEGERS[1]


def check(event: msgspec.Struct, rules: tuple[Rule, ...]) -> None:
    """Raises: ValueError, which msgspec reports as it does a field's own fault."""
    attributes = _attributes(type(event))
    for rule in rules:
        fault = rule.fault(*(getattr(event, attributes[name]) for name in rule.names))
        if fault is not None:
            raise ValueError(fault)


@cache
def _attributes(shape: type[msgspec.Struct]) -> dict[str, str]:
    """Attribute by the name that the field has in JSON."""
    return dict(zip(shape.__struct_encode_fields__, shape.__struct_fields__, strict=True))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
