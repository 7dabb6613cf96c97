"""What is known of an event: every record of it, and what each store says of each record. Values only."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from ingestion.contracts.clocks import format_utc
from ingestion.contracts.quarantine import Coordinates

EdgeVerdict = Literal["accepted", "rejected", "pointer"]
SilverTable = Literal["events", "duplicates", "quarantine"]


@dataclass(frozen=True)
class GoldCell:
    """A cell of gold that counts the event. `event_count` is the whole cell's."""

    table: str
    window_start: datetime
    window_end: datetime | None
    event_count: int
    dimensions: dict[str, str]


@dataclass(frozen=True)
class PublicationRead:
    """A publication that has read a record and built its hour."""

    publication_id: int
    cause: str
    published_at: datetime


@dataclass(frozen=True)
class SilverRow:
    """Where silver has a record. `reason` and `stage` in quarantine, `winner` of a duplicate, `is_late` and the dimensions of an event."""

    table: SilverTable
    reason: str | None = None
    stage: str | None = None
    winner: Coordinates | None = None
    payload_differs: bool | None = None
    is_late: bool | None = None
    family: str | None = None
    event_type: str | None = None
    user_id: str | None = None
    platform: str | None = None


@dataclass
class Copy:
    """One Kafka record of the event. What lies behind bronze is None or empty where it has not come so far."""

    coordinates: Coordinates
    app_id: str
    event_id: str | None
    edge: EdgeVerdict
    rejection_reason: str | None
    contract: str | None
    occurred_at: datetime | None
    received_at: datetime | None
    kafka_timestamp: datetime
    ingested_at: datetime
    event_hour: datetime
    redrive_of: Coordinates | None = None
    redriven_as: list[Coordinates] = field(default_factory=list)
    bronze_version: int | None = None
    is_version_exact: bool = False
    silver: SilverRow | None = None
    gold: list[GoldCell] = field(default_factory=list)
    publications: list[PublicationRead] = field(default_factory=list)
    waits_for: str | None = None
    """Why it is not published, or not as it is now."""

    @property
    def event_date(self) -> date:
        """The day that it is filed under."""
        return self.event_hour.date()


@dataclass(frozen=True)
class Waiting:
    """A record that Kafka holds and bronze does not have yet."""

    coordinates: Coordinates
    app_id: str | None
    received_at: datetime | None


@dataclass
class Trace:
    """Everything found. `scanned` says what was looked at, in words; `unreachable` names stores that were not."""

    event_id: str
    app_id: str | None
    copies: list[Copy] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    scanned: list[str] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)

    @property
    def is_found(self) -> bool:
        """True when any store holds a record of it."""
        return bool(self.copies or self.waiting)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {"found": self.is_found, **{name: plain(value) for name, value in vars(self).items()}}


def plain(value: Any) -> Any:
    """The value as JSON has it: times in RFC 3339, coordinates as topic/partition/offset."""
    if isinstance(value, Coordinates):
        return str(value)
    if isinstance(value, datetime):
        return format_utc(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(item) for name, item in vars(value).items()}
    return value
