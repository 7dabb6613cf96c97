"""Rules that span several fields of a contract, said once: shapes check them, SQL and JSON Schema are written from them.

A shape lists its rules in the class variable RULES and calls `check` from `__post_init__`.
"""

from dataclasses import dataclass
from typing import Any


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


Rule = AnyOf | Same | Needs


def check(event: Any, rules: tuple[Rule, ...]) -> None:
    """Raises: ValueError, which msgspec reports as it does a field's own fault."""
    for rule in rules:
        fault = rule.fault(*(getattr(event, name) for name in rule.names))
        if fault is not None:
            raise ValueError(fault)
