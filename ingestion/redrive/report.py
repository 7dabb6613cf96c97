"""What a redrive did, counted so that it adds up: selected = redriven + already + still bad + skipped."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from storage.control.redrives import Kind, Outcome

KINDS: tuple[Kind, ...] = ("redriven", "already", "still_bad", "skipped")


@dataclass
class Report:
    """Counts of records by outcome; `by_reason` has them by the reason for which each was in quarantine."""

    counts: Counter[str] = field(default_factory=Counter)
    by_reason: dict[str, Counter[str]] = field(default_factory=dict)
    remaining: Counter[str] = field(default_factory=Counter)
    """Why those stay that are still bad or were skipped."""

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Counts outcomes."""
        for item in outcomes:
            self.counts[item.kind] += 1
            self.by_reason.setdefault(item.reason or "unknown", Counter())[item.kind] += 1
            if item.remaining_reason is not None:
                self.remaining[item.remaining_reason] += 1

    @property
    def selected(self) -> int:
        """Records that the selection chose."""
        return self.counts.total()

    def as_dict(self) -> dict[str, Any]:
        """For --json and for the control table."""
        return {
            "selected": self.selected,
            **{kind: self.counts[kind] for kind in KINDS},
            "by_reason": {
                reason: {kind: counts[kind] for kind in KINDS} for reason, counts in sorted(self.by_reason.items())
            },
            "remaining_reasons": dict(sorted(self.remaining.items())),
        }
