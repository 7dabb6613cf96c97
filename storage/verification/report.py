"""The result of a verification: what was checked, what is wrong and by which ids, and the exact counts. Pure values."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

MAX_OFFENDING = 20


@dataclass(frozen=True)
class Check:
    """One statement that must be true. `offending` holds at most MAX_OFFENDING ids; `detail` tells how many there are."""

    name: str
    invariant: str
    ok: bool
    detail: str
    offending: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """All checks and counts of one verification."""

    checks: tuple[Check, ...]
    counts: dict[str, Any]

    @property
    def ok(self) -> bool:
        """True when every check is."""
        return all(check.ok for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that found something wrong."""
        return tuple(check for check in self.checks if not check.ok)

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape of `tidemark verify --json`."""
        return {
            "ok": self.ok,
            "checks": [
                {
                    "name": check.name,
                    "invariant": check.invariant,
                    "ok": check.ok,
                    "detail": check.detail,
                    "offending": list(check.offending),
                }
                for check in self.checks
            ],
            "counts": self.counts,
        }


@dataclass
class Finding:
    """Offences of one check, gathered over several steps of its work. The smallest ids are kept, so that a report is stable."""

    name: str
    invariant: str
    good: str
    offence_count: int = 0
    offending: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, offences: Iterable[str], count: int | None = None) -> None:
        """Adds offences; `count` when there are more of them than ids given."""
        found = list(offences)
        self.offence_count += len(found) if count is None else count
        self.offending = sorted([*self.offending, *found])[:MAX_OFFENDING]

    def note(self, text: str) -> None:
        """Adds a sentence to the detail that is worth reading but not wrong."""
        self.notes.append(text)

    def check(self) -> Check:
        """The check as reported."""
        ok = self.offence_count == 0
        verdict = self.good if ok else f"{self.offence_count} offence{'s' if self.offence_count != 1 else ''}"
        return Check(self.name, self.invariant, ok, "; ".join([verdict, *self.notes]), tuple(self.offending))
