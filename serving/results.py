"""What the API answers: one model per endpoint. Field names are contracts with clients that already exist.

Every analytics answer says which publication it comes from and which range it covers.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AnalyticsAnswer(BaseModel):
    """Where an answer comes from."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    publication: int | None = Field(
        description="The publication that was read; null while nothing is published yet.", examples=[7]
    )
    as_of: datetime | None = Field(description="When that publication was made.", examples=["2026-01-05T12:01:30Z"])
    from_at: datetime = Field(
        alias="from", description="Start of the range, inclusive.", examples=["2026-01-04T12:00:00Z"]
    )
    to_at: datetime = Field(alias="to", description="End of the range, exclusive.", examples=["2026-01-05T12:00:00Z"])
    source: Literal["publication"] = "publication"


class EventMetric(BaseModel):
    """One cell: a window, an event type and a platform."""

    window_start: datetime = Field(examples=["2026-01-05T11:55:00Z"])
    window_end: datetime = Field(description="Exclusive.", examples=["2026-01-05T12:00:00Z"])
    event_type: str = Field(examples=["view"])
    platform: str = Field(examples=["ios"])
    event_count: int = Field(examples=[420])
    unique_users: int = Field(description="Distinct users of the cell: never add them up.", examples=[310])
    computed_at: datetime = Field(description="When the publication was made.", examples=["2026-01-05T12:01:30Z"])
    is_complete: bool = Field(
        description="False while the window had not ended when the publication was made. Late events may restate any window."
    )


class EventsAnswer(AnalyticsAnswer):
    """Windows that intersect the range, newest first, then by event type and platform."""

    total_records: int = Field(description="Cells in this answer.", examples=[1])
    time_window: str = Field(examples=["5min"])
    metrics: list[EventMetric]


class UserActivity(BaseModel):
    """One user on one platform."""

    user_id: str = Field(examples=["user_42"])
    platform: str = Field(examples=["ios"])
    total_events: int = Field(description="The sum of the five counts.", examples=[9])
    likes: int = Field(examples=[3])
    comments: int = Field(examples=[1])
    shares: int = Field(examples=[0])
    views: int = Field(examples=[4])
    clicks: int = Field(examples=[1])


class UsersAnswer(AnalyticsAnswer):
    """Ordered by total events, most first, then user and platform."""

    total_users: int = Field(description="Rows in this answer.", examples=[1])
    time_range: str = Field(examples=["Last 24 hours"])
    users: list[UserActivity]


class TopUser(BaseModel):
    """One user; equal totals share a rank, and the next rank follows without a gap."""

    user_id: str = Field(examples=["user_42"])
    platform: str = Field(description="The user's most used platform, by name where two are equal.", examples=["ios"])
    total_events: int = Field(examples=[9])
    rank: int = Field(examples=[1])


class TopUsersAnswer(AnalyticsAnswer):
    """Ordered by total events, most first, then user (and platform when split)."""

    total_users: int = Field(description="Rows in this answer.", examples=[1])
    time_range: str = Field(examples=["Last 24 hours"])
    top_users: list[TopUser]


class EventTypeShare(BaseModel):
    """One event type."""

    event_type: str = Field(examples=["view"])
    total_count: int = Field(examples=[420])
    percentage: float = Field(description="Share of all events, two decimals; they add up to 100.", examples=[100.0])


class EventDistributionAnswer(AnalyticsAnswer):
    """Ordered by count, most first, then event type."""

    total_events: int = Field(examples=[420])
    time_range: str = Field(examples=["Last 24 hours"])
    distribution: list[EventTypeShare]


class PlatformActivity(BaseModel):
    """One platform."""

    platform: str = Field(examples=["ios"])
    total_events: int = Field(examples=[420])
    unique_users: int = Field(description="Distinct users over the whole range.", examples=[310])


class PlatformsAnswer(AnalyticsAnswer):
    """Ordered by total events, most first, then platform."""

    total_platforms: int = Field(description="Platforms in this answer.", examples=[1])
    time_range: str = Field(examples=["Last 24 hours"])
    platforms: list[PlatformActivity]


class PublicationEntry(BaseModel):
    """One publication: a state of every table, made by one run."""

    id: int = Field(examples=[7])
    cause: str = Field(
        description="Why it was made: arrival, late, import, replay, recovered, code or erasure.", examples=["late"]
    )
    hours: list[datetime] = Field(description="UTC hours that its run built.", examples=[["2026-01-05T10:00:00Z"]])
    run: str = Field(description="The run that made it.", examples=["0c2c6a5e"])
    base: int | None = Field(description="The publication that it was built on.", examples=[6])
    published_at: datetime = Field(examples=["2026-01-05T12:01:30Z"])
    snapshot: int = Field(description="Its snapshot of the lake.", examples=[31])
    changes: dict[str, dict[str, int]] = Field(
        description="Rows added and removed per table.", examples=[{"silver.events": {"added": 12, "removed": 0}}]
    )


class PublicationsAnswer(BaseModel):
    """Kept publications, newest first."""

    total_count: int = Field(description="Publications in this answer.", examples=[1])
    newest: int | None = Field(description="The newest publication; null while nothing is published yet.", examples=[7])
    publications: list[PublicationEntry]


class ComparedPublication(BaseModel):
    """One side of a comparison."""

    publication: int = Field(examples=[7])
    as_of: datetime = Field(description="When it was made.", examples=["2026-01-05T12:01:30Z"])


class ComparedSum(BaseModel):
    """A sum over the rows of one period, in either publication."""

    old: float = Field(examples=[2.0])
    new: float = Field(examples=[3.0])


class TableDifference(BaseModel):
    """What differs in one table in one period. A row is changed when both publications have its key with other values."""

    table: str = Field(examples=["gold.agg_hour_events"])
    period: Literal["day", "hour"]
    period_start: datetime = Field(examples=["2026-01-05T10:00:00Z"])
    rows_added: int | None = Field(
        description="Rows that only `new` has; null for silver.events, whose rows are counted and not compared.",
        examples=[0],
    )
    rows_removed: int | None = Field(description="Rows that only `old` has.", examples=[0])
    rows_changed: int | None = Field(description="Rows of the same key with other values.", examples=[1])
    measures: dict[str, ComparedSum] = Field(
        description="Sums over the whole period, `row_count` and each number of the table. That of `unique_users` is a "
        "control total: distinct users do not add up.",
        examples=[{"row_count": {"old": 1.0, "new": 1.0}, "event_count": {"old": 2.0, "new": 3.0}}],
    )


class RestatementEntry(BaseModel):
    """One row of the ledger: what one publication changed in a period that was closed."""

    publication: int = Field(examples=[7])
    cause: str = Field(description="Why that publication was made.", examples=["late"])
    run: str = Field(description="The run that made it.", examples=["0c2c6a5e"])
    published_at: datetime = Field(examples=["2026-01-05T12:01:30Z"])
    table: str = Field(examples=["gold.agg_hour_events"])
    period: Literal["day", "hour"]
    period_start: datetime = Field(examples=["2026-01-05T10:00:00Z"])
    measure: str = Field(examples=["event_count"])
    old: float = Field(description="The period's sum before that publication.", examples=[2.0])
    new: float = Field(description="The period's sum from that publication on.", examples=[3.0])
    rows_added: int = Field(description="A changed row counts as one added and one removed.", examples=[1])
    rows_removed: int = Field(examples=[1])


class PublicationDiffAnswer(BaseModel):
    """What differs between two kept publications in the rows of the key's app, and why."""

    old: ComparedPublication = Field(
        description="The publication named first.", examples=[{"publication": 6, "as_of": "2026-01-05T11:01:30Z"}]
    )
    new: ComparedPublication = Field(
        description="The publication named second.", examples=[{"publication": 7, "as_of": "2026-01-05T12:01:30Z"}]
    )
    source: Literal["publication"] = "publication"
    causes: dict[str, int] = Field(
        description="How many publications were made after the earlier one, up to the later one, by cause.",
        examples=[{"late": 1}],
    )
    total_differences: int = Field(description="Differences in this answer.", examples=[1])
    has_more_differences: bool = Field(
        description="True when `limit` left some out: ask for one table, or a shorter range.", examples=[False]
    )
    differences: list[TableDifference]
    total_restatements: int = Field(description="Restatements in this answer.", examples=[1])
    has_more_restatements: bool = Field(description="True when `limit` left some out.", examples=[False])
    restatements: list[RestatementEntry]
