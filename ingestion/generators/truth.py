"""What a generated stream contains, counted while it is generated and never read back from any part of the pipeline."""

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from ingestion.contracts.families import Family


@dataclass(frozen=True)
class TruthCell:
    """Unique events of one type, platform and UTC hour."""

    hour: str
    event_type: str
    platform: str
    event_count: int
    unique_users: int


class Story:
    """What only one family's ground truth holds: a frozen dataclass of its generator."""


@dataclass(frozen=True)
class GroundTruth:
    """The counts that the platform must arrive at. `accepted` counts lines, `unique_events` counts event ids.

    `late` counts unique events whose time lies more than ten minutes before the anchor; the generator avoids times so near to ten
    minutes that sending could tip them. Only engagements have platforms.
    """

    seed: int
    anchor: str
    sent: int
    accepted: int
    rejected: int
    duplicates: int
    unique_events: int
    late: int
    unique_users: int
    rejected_by_kind: dict[str, int]
    by_type: dict[str, int]
    by_platform: dict[str, int]
    by_hour: dict[str, int]
    by_user: dict[str, int]
    cells: tuple[TruthCell, ...]
    family: Family = Family.ENGAGEMENT
    story: Story | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def summary(self) -> dict[str, Any]:
        """For JSON, without what grows with the number of users."""
        return {name: value for name, value in asdict(self).items() if name not in ("cells", "by_user")}


@dataclass(frozen=True)
class MixedTruth:
    """The ground truths of several families in one stream, and their sums."""

    families: dict[str, GroundTruth]

    @property
    def accepted(self) -> int:
        """Lines."""
        return sum(truth.accepted for truth in self.families.values())

    @property
    def rejected(self) -> int:
        """Lines."""
        return sum(truth.rejected for truth in self.families.values())

    @property
    def duplicates(self) -> int:
        """Exact copies."""
        return sum(truth.duplicates for truth in self.families.values())

    @property
    def late(self) -> int:
        """Unique events."""
        return sum(truth.late for truth in self.families.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._with_sums({name: truth.as_dict() for name, truth in self.families.items()})

    def summary(self) -> dict[str, Any]:
        """For JSON, without what grows with the number of users."""
        return self._with_sums({name: truth.summary() for name, truth in self.families.items()})

    def _with_sums(self, families: dict[str, Any]) -> dict[str, Any]:
        names = ("accepted", "rejected", "duplicates", "late")
        return {**{name: getattr(self, name) for name in names}, "families": families}


Truth = GroundTruth | MixedTruth


class TruthRecorder:
    """Adds up a stream's ground truth."""

    def __init__(self) -> None:
        self.accepted = 0
        self.duplicates = 0
        self.late = 0
        self._rejected: Counter[str] = Counter()
        self._users: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)

    def note_event(self, event_type: str, platform: str, occurred_at: datetime, user_id: str, is_late: bool) -> None:
        """A unique, valid event."""
        self.accepted += 1
        self.late += is_late
        self._users[occurred_at.strftime("%Y-%m-%dT%H:00:00Z"), event_type, platform][user_id] += 1

    def note_duplicate(self) -> None:
        """An exact copy of an earlier event."""
        self.accepted += 1
        self.duplicates += 1

    def note_malformed(self, kind: str) -> None:
        """A line that must be rejected."""
        self._rejected[kind] += 1

    def result(
        self, seed: int, anchor: str, family: Family = Family.ENGAGEMENT, story: Story | None = None
    ) -> GroundTruth:
        """The truth of everything noted so far."""
        by_type: Counter[str] = Counter()
        by_platform: Counter[str] = Counter()
        by_hour: Counter[str] = Counter()
        by_user: Counter[str] = Counter()
        cells: list[TruthCell] = []
        for (hour, event_type, platform), users in sorted(self._users.items()):
            count = users.total()
            by_type[event_type] += count
            if platform:
                by_platform[platform] += count
            by_hour[hour] += count
            by_user.update(users)
            cells.append(TruthCell(hour, event_type, platform, count, len(users)))
        rejected = self._rejected.total()
        return GroundTruth(
            seed=seed,
            anchor=anchor,
            sent=self.accepted + rejected,
            accepted=self.accepted,
            rejected=rejected,
            duplicates=self.duplicates,
            unique_events=self.accepted - self.duplicates,
            late=self.late,
            unique_users=len(by_user),
            rejected_by_kind=dict(sorted(self._rejected.items())),
            by_type=dict(by_type),
            by_platform=dict(by_platform),
            by_hour=dict(sorted(by_hour.items())),
            by_user=dict(sorted(by_user.items())),
            cells=tuple(cells),
            family=family,
            story=story,
        )
