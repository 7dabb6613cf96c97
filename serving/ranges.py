"""The half-open range [from, to) of an answer, cut at UTC hours: whole hours come from gold, the edges from silver.

Pure: no clock and no I/O.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def floor_to(moment: datetime, grain: timedelta) -> datetime:
    """The start of the UTC window of length `grain` that holds `moment`. Exact to the microsecond."""
    return moment - (moment - EPOCH) % grain


def ceil_to(moment: datetime, grain: timedelta) -> datetime:
    """`moment` when it starts a window, else the start of the next one."""
    floored = floor_to(moment, grain)
    return floored if floored == moment else floored + grain


@dataclass(frozen=True)
class TimeRange:
    """[from_at, to_at) on `occurred_at`, UTC."""

    from_at: datetime
    to_at: datetime

    @classmethod
    def ending(cls, to_at: datetime, hours_back: int) -> "TimeRange":
        """The `hours_back` hours before `to_at`."""
        end = to_at.astimezone(UTC)
        return cls(end - timedelta(hours=hours_back), end)

    @property
    def whole_from(self) -> datetime:
        """Start of the first hour that lies wholly inside; not before `whole_to` when there is none."""
        return ceil_to(self.from_at, HOUR)

    @property
    def whole_to(self) -> datetime:
        """End of the last hour that lies wholly inside."""
        return floor_to(self.to_at, HOUR)

    @property
    def head_hour(self) -> datetime | None:
        """The hour that the range starts within, None when it starts on the hour."""
        return None if self.whole_from == self.from_at else floor_to(self.from_at, HOUR)

    @property
    def tail_hour(self) -> datetime | None:
        """The hour that the range ends within, None when it ends on the hour."""
        return None if self.whole_to == self.to_at else self.whole_to

    def as_parameters(self) -> dict[str, datetime | None]:
        """What `sql/user_counts.sql` binds."""
        return {
            "from_at": self.from_at,
            "to_at": self.to_at,
            "whole_from": self.whole_from,
            "whole_to": self.whole_to,
            "head_hour": self.head_hour,
            "tail_hour": self.tail_hour,
        }
