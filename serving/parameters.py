"""What a client may ask: one model per endpoint, with bounds, defaults and examples. OpenAPI is generated from them.

A value outside its bounds is answered 422 (`serving.errors`).
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

EventType = Literal["click", "like", "comment", "share", "view"]
Platform = Literal["web", "ios", "android", "mobile_web"]
TimeWindow = Literal["5min", "1hr", "1day"]
Period = Literal["day", "hour"]

UNESCAPED_PLUS = re.compile(r"(?<=\d) (?=\d\d:?\d\d$)")
FIRST_YEAR, LAST_YEAR = 1971, 9998
LARGEST_ID = 2**63 - 1


def _read_moment(value: Any) -> Any:
    """Repairs `+00:00` sent unescaped, whose plus arrives as a space, and refuses bare numbers, whose unit nobody knows."""
    if isinstance(value, str):
        value = UNESCAPED_PLUS.sub("+", value.strip())
        if not re.match(r"\d{4}-\d\d-\d\d", value):
            raise ValueError("expected an RFC 3339 time such as 2026-01-05T12:00:00Z")
    return value


def _to_utc(moment: datetime) -> datetime:
    """A time without an offset is UTC."""
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"expected a year from {FIRST_YEAR} to {LAST_YEAR}")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Moment = Annotated[datetime, BeforeValidator(_read_moment), AfterValidator(_to_utc)]
AppId = Annotated[
    str | None,
    Field(max_length=200, description="Only this app. It must be the key's own: another one is answered 403."),
]
UserId = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class RangeParameters(BaseModel):
    """What every analytics endpoint takes: the range, the app and the publication."""

    model_config = ConfigDict(frozen=True)

    hours_back: int = Field(default=24, ge=1, le=168, description="Length of the range in hours.")
    until: Moment | None = Field(
        default=None,
        description="End of the range, exclusive, RFC 3339; UTC when it has no offset. Default: the time of the request.",
        examples=["2026-01-05T12:00:00Z"],
    )
    app_id: AppId = None
    publication: int | None = Field(
        default=None, ge=1, le=LARGEST_ID, description="Answer as of this earlier publication. Default: the newest."
    )


class EventsParameters(RangeParameters):
    """Windows of event counts."""

    time_window: TimeWindow = Field(
        default="5min", description="Length of a window; windows are tumbling and start in UTC."
    )
    hours_back: int = Field(default=1, ge=1, le=168, description="Length of the range in hours.")
    event_type: EventType | None = Field(default=None, description="Only this event type.")
    platform: Platform | None = Field(default=None, description="Only this platform.")
    limit: int = Field(default=100, ge=1, le=1000, description="Cells to return at most, newest first.")


class UsersParameters(RangeParameters):
    """Activity per user and platform."""

    user_id: UserId | None = Field(default=None, description="Only this user.", examples=["user_42"])
    platform: Platform | None = Field(default=None, description="Only this platform.")
    limit: int = Field(default=100, ge=1, le=1000, description="Rows to return at most.")


class TopUsersParameters(RangeParameters):
    """Most active users."""

    limit: int = Field(default=10, ge=1, le=100, description="Users to return at most.")
    split_by_platform: bool = Field(default=False, description="One row per user and platform instead of one per user.")


class PublicationsParameters(BaseModel):
    """A page of publications."""

    model_config = ConfigDict(frozen=True)

    limit: int = Field(default=20, ge=1, le=100, description="Publications to return at most.")
    before: int | None = Field(
        default=None, ge=1, le=LARGEST_ID, description="Only publications older than this id: the next page."
    )


class PublicationDiffParameters(BaseModel):
    """Which differences between two publications."""

    model_config = ConfigDict(frozen=True)

    app_id: AppId = None
    table: str | None = Field(
        default=None, max_length=200, description="Only this table.", examples=["gold.agg_hour_events"]
    )
    period: Period = Field(
        default="day",
        description="Count by UTC day or by hour. A table without hours is counted by day either way.",
    )
    from_at: Moment | None = Field(
        default=None,
        alias="from",
        description="Only periods that end after this time, RFC 3339; UTC when it has no offset.",
        examples=["2026-01-05T00:00:00Z"],
    )
    to_at: Moment | None = Field(
        default=None,
        alias="to",
        description="Only periods that start before this time.",
        examples=["2026-01-06T00:00:00Z"],
    )
    limit: int = Field(default=100, ge=1, le=1000, description="Entries of each list to return at most, newest first.")

    @model_validator(mode="after")
    def _is_a_range(self) -> "PublicationDiffParameters":
        if self.from_at is not None and self.to_at is not None and self.from_at >= self.to_at:
            raise ValueError("expected `from` to be before `to`")
        return self
