"""Scripted incidents of the download stream, and the labels that say what they did.

`region_outage` lowers the share of successes in one region to `strength` (at most 0.5, default 0.3). `slow_cdn` multiplies speeds by
`strength` (at most 0.5, default 0.4) in one region, or everywhere for the region `*`. Times are seconds from the anchor, half-open.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ingestion.contracts.clocks import format_utc

ALL_REGIONS = "*"
_DEFAULT_STRENGTH = {"region_outage": 0.3, "slow_cdn": 0.4}
_STRONGEST, _WEAKEST = 0.0, 0.5


@dataclass(frozen=True)
class Incident:
    """What goes wrong where and when."""

    type: str
    region: str
    from_seconds: float
    to_seconds: float
    strength: float | None = None

    def __post_init__(self) -> None:
        if self.type not in _DEFAULT_STRENGTH:
            raise ValueError(f"an incident is one of {', '.join(_DEFAULT_STRENGTH)}, found {self.type!r}")
        if self.type == "region_outage" and self.region == ALL_REGIONS:
            raise ValueError("a region_outage names one region")
        if not self.from_seconds < self.to_seconds:
            raise ValueError(f"an incident ends after it begins, found {self.from_seconds:g} to {self.to_seconds:g} s")
        if not _STRONGEST <= self.factor <= _WEAKEST:
            raise ValueError(f"strength must lie in 0..{_WEAKEST}, found {self.factor:g}")

    @property
    def factor(self) -> float:
        """The share of successes left, or the factor of speeds."""
        return _DEFAULT_STRENGTH[self.type] if self.strength is None else self.strength

    def covers(self, seconds: float, region: str) -> bool:
        """True for a download at `seconds` from the anchor in `region`."""
        return self.from_seconds <= seconds < self.to_seconds and self.region in (region, ALL_REGIONS)


@dataclass(frozen=True)
class IncidentLabel:
    """The ground truth of one incident: unique downloads inside it, and what became of them."""

    type: str
    region: str
    from_at: str
    to_at: str
    factor: float
    events_affected: int
    success: int
    failed: int


def parse_incident(text: str) -> Incident:
    """The incident of `TYPE:REGION:FROM:TO[:STRENGTH]`. Raises: ValueError."""
    parts = text.split(":")
    if not 4 <= len(parts) <= 5:
        raise ValueError(f"expected TYPE:REGION:FROM:TO[:STRENGTH], times in seconds from the anchor, found {text!r}")
    try:
        numbers = [float(part) for part in parts[2:]]
    except ValueError:
        raise ValueError(f"FROM, TO and STRENGTH are numbers, found {text!r}") from None
    return Incident(parts[0], parts[1], numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else None)


class IncidentCounts:
    """Adds up what happened inside one incident."""

    def __init__(self, incident: Incident) -> None:
        self._incident = incident
        self._affected = self._success = 0

    def note(self, seconds: float, region: str, is_success: bool) -> None:
        """One download, wherever it was."""
        if self._incident.covers(seconds, region):
            self._affected += 1
            self._success += is_success

    def label(self, anchor: datetime) -> IncidentLabel:
        """The label so far."""
        incident = self._incident
        return IncidentLabel(
            type=incident.type,
            region=incident.region,
            from_at=format_utc(anchor + timedelta(seconds=incident.from_seconds)),
            to_at=format_utc(anchor + timedelta(seconds=incident.to_seconds)),
            factor=incident.factor,
            events_affected=self._affected,
            success=self._success,
            failed=self._affected - self._success,
        )
