"""A hot event, the place of one in a list, and which days are kept. Values only."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta


@dataclass(frozen=True, slots=True)
class HotEvent:
    """One event; `(app_id, event_id)` identifies it. `body` is its JSON text, for Avro the text that it reads as."""

    app_id: str
    event_id: str
    event_type: str
    user_id: str
    occurred_at: datetime
    received_at: datetime
    contract: str
    body: bytes
    kafka_partition: int
    kafka_offset: int

    @property
    def key(self) -> tuple[str, str]:
        """What identifies it."""
        return self.app_id, self.event_id

    @property
    def position(self) -> "Position":
        """Its place in every list."""
        return Position(self.occurred_at, self.event_id)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a list of one app's events: newest first, those of one moment by event id. A page goes on after it."""

    occurred_at: datetime
    event_id: str

    def is_before(self, other: "Position") -> bool:
        """True when this one stands nearer to the beginning."""
        return (-_micros(self.occurred_at), self.event_id) < (-_micros(other.occurred_at), other.event_id)


@dataclass(frozen=True, slots=True)
class HotKey:
    """What reconciliation compares."""

    app_id: str
    event_id: str
    kafka_partition: int
    kafka_offset: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class ExpiredDay:
    """A day that is no longer kept, and how many events it has."""

    day: date
    event_count: int


def first_kept_day(now: datetime, ttl_days: int) -> date:
    """The oldest UTC day of occurred_at that a store keeps. Writers, retention and reconciliation all ask here."""
    return now.astimezone(UTC).date() - timedelta(days=ttl_days)


def start_of(day: date) -> datetime:
    """Its first moment."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
