"""The registry of analytics queries: name, parameters, result, SQL file, and how rows become the result.

A query reads one publication of one app and counts the engagement family only. SQL rests in `serving/sql`; values are always bound.
Nothing here opens the lake or knows HTTP.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from serving import parameters as asked
from serving import results
from serving.ranges import TimeRange, floor_to

SQL_DIR = Path(__file__).resolve().parent / "sql"
FAMILY = "engagement"
USER_COUNTS = "user_counts"
WINDOWS: dict[asked.TimeWindow, tuple[str, timedelta]] = {
    "5min": ("events_5min", timedelta(minutes=5)),
    "1hr": ("events_hour", timedelta(hours=1)),
    "1day": ("events_day", timedelta(days=1)),
}
HUNDREDTHS_OF_ALL = 10_000

P = TypeVar("P", bound=asked.RangeParameters)
Row = Sequence[Any]


@dataclass(frozen=True)
class Provenance:
    """Where an answer comes from; `publication_id` is None before the first publication."""

    publication_id: int | None
    published_at: datetime | None
    time_range: TimeRange

    def as_fields(self) -> dict[str, Any]:
        """The fields of `results.AnalyticsAnswer`."""
        return {
            "publication": self.publication_id,
            "as_of": self.published_at,
            "from_at": self.time_range.from_at,
            "to_at": self.time_range.to_at,
        }


@dataclass(frozen=True)
class Statement:
    """SQL and the values to bind, those of app and family excepted."""

    sql: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Query(Generic[P]):
    """One endpoint under /api/v1/analytics: `state` makes the SQL, `shape` the answer."""

    name: str
    summary: str
    parameters: type[P]
    result: type[results.AnalyticsAnswer]
    state: Callable[[P, TimeRange], Statement]
    shape: Callable[[Sequence[Row], P, Provenance], results.AnalyticsAnswer]


@cache
def read_sql(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return (SQL_DIR / f"{name}.sql").read_text(encoding="utf-8")


@cache
def read_sql_over_user_counts(name: str) -> str:
    """The query `name` with `user_counts.sql` as its table `user_counts`."""
    return f"with {USER_COUNTS} as (\n{read_sql(USER_COUNTS)})\n{read_sql(name)}"


def _state_events(wanted: asked.EventsParameters, time_range: TimeRange) -> Statement:
    sql_file, grain = WINDOWS[wanted.time_window]
    values = {
        # The first window that intersects the range starts at or before it.
        "first_window": floor_to(time_range.from_at, grain),
        "to_at": time_range.to_at,
        "event_type": wanted.event_type,
        "platform": wanted.platform,
        "limit": wanted.limit,
    }
    return Statement(read_sql(sql_file), values)


def _shape_events(
    rows: Sequence[Row], wanted: asked.EventsParameters, provenance: Provenance
) -> results.AnalyticsAnswer:
    published_at = provenance.published_at
    metrics = [
        results.EventMetric(
            window_start=row[0],
            window_end=row[1],
            event_type=row[2],
            platform=row[3],
            event_count=row[4],
            unique_users=row[5],
            computed_at=published_at,
            is_complete=row[1] <= published_at,
        )
        for row in rows
        if published_at is not None
    ]
    return results.EventsAnswer(
        total_records=len(metrics), time_window=wanted.time_window, metrics=metrics, **provenance.as_fields()
    )


def _state_users(wanted: asked.UsersParameters, time_range: TimeRange) -> Statement:
    values = {"user_id": wanted.user_id, "platform": wanted.platform, "limit": wanted.limit}
    return Statement(read_sql_over_user_counts("users"), {**time_range.as_parameters(), **values})


def _shape_users(rows: Sequence[Row], wanted: asked.UsersParameters, provenance: Provenance) -> results.AnalyticsAnswer:
    names = ("user_id", "platform", "total_events", "likes", "comments", "shares", "views", "clicks")
    users = [results.UserActivity(**dict(zip(names, row, strict=True))) for row in rows]
    return results.UsersAnswer(
        total_users=len(users), time_range=_describe(wanted), users=users, **provenance.as_fields()
    )


def _state_top_users(wanted: asked.TopUsersParameters, time_range: TimeRange) -> Statement:
    name = "top_users_by_platform" if wanted.split_by_platform else "top_users"
    return Statement(read_sql_over_user_counts(name), {**time_range.as_parameters(), "limit": wanted.limit})


def _shape_top_users(
    rows: Sequence[Row], wanted: asked.TopUsersParameters, provenance: Provenance
) -> results.AnalyticsAnswer:
    ranks = dense_ranks([row[2] for row in rows])
    users = [
        results.TopUser(user_id=row[0], platform=row[1], total_events=row[2], rank=rank)
        for row, rank in zip(rows, ranks, strict=True)
    ]
    return results.TopUsersAnswer(
        total_users=len(users), time_range=_describe(wanted), top_users=users, **provenance.as_fields()
    )


def _state_distribution(_wanted: asked.RangeParameters, time_range: TimeRange) -> Statement:
    return Statement(read_sql_over_user_counts("event_distribution"), dict(time_range.as_parameters()))


def _shape_distribution(
    rows: Sequence[Row], wanted: asked.RangeParameters, provenance: Provenance
) -> results.AnalyticsAnswer:
    shares = percentages([row[1] for row in rows])
    distribution = [
        results.EventTypeShare(event_type=row[0], total_count=row[1], percentage=share)
        for row, share in zip(rows, shares, strict=True)
    ]
    return results.EventDistributionAnswer(
        total_events=sum(row[1] for row in rows),
        time_range=_describe(wanted),
        distribution=distribution,
        **provenance.as_fields(),
    )


def _state_platforms(_wanted: asked.RangeParameters, time_range: TimeRange) -> Statement:
    return Statement(read_sql_over_user_counts("platforms"), dict(time_range.as_parameters()))


def _shape_platforms(
    rows: Sequence[Row], wanted: asked.RangeParameters, provenance: Provenance
) -> results.AnalyticsAnswer:
    platforms = [results.PlatformActivity(platform=row[0], total_events=row[1], unique_users=row[2]) for row in rows]
    return results.PlatformsAnswer(
        total_platforms=len(platforms), time_range=_describe(wanted), platforms=platforms, **provenance.as_fields()
    )


def _describe(wanted: asked.RangeParameters) -> str:
    return f"Last {wanted.hours_back} hours"


def dense_ranks(totals: Sequence[int]) -> list[int]:
    """Ranks of totals in descending order: equal ones share a rank and the next follows without a gap.

    The rank within the first n rows is the rank within all rows, because every higher total is among them.
    """
    ranks: list[int] = []
    for index, total in enumerate(totals):
        is_tie = index > 0 and totals[index - 1] == total
        ranks.append(ranks[-1] if is_tie else (ranks[-1] + 1 if ranks else 1))
    return ranks


def percentages(counts: Sequence[int]) -> list[float]:
    """Shares in percent with two decimals that add up to exactly 100 (largest remainder; ties go to the earlier one)."""
    total = sum(counts)
    if total == 0:
        return [0.0 for _ in counts]
    hundredths = [count * HUNDREDTHS_OF_ALL // total for count in counts]
    remainders = [count * HUNDREDTHS_OF_ALL % total for count in counts]
    missing = HUNDREDTHS_OF_ALL - sum(hundredths)
    for index in sorted(range(len(counts)), key=lambda position: (-remainders[position], position))[:missing]:
        hundredths[index] += 1
    return [value / 100 for value in hundredths]


EVENTS = Query(
    "events",
    "Event counts and distinct users per window, event type and platform",
    asked.EventsParameters,
    results.EventsAnswer,
    _state_events,
    _shape_events,
)
USERS = Query(
    "users",
    "Activity per user and platform, by event type",
    asked.UsersParameters,
    results.UsersAnswer,
    _state_users,
    _shape_users,
)
TOP_USERS = Query(
    "top-users",
    "Most active users",
    asked.TopUsersParameters,
    results.TopUsersAnswer,
    _state_top_users,
    _shape_top_users,
)
EVENT_DISTRIBUTION = Query(
    "event-distribution",
    "Events by type",
    asked.RangeParameters,
    results.EventDistributionAnswer,
    _state_distribution,
    _shape_distribution,
)
PLATFORMS = Query(
    "platforms",
    "Events and distinct users by platform",
    asked.RangeParameters,
    results.PlatformsAnswer,
    _state_platforms,
    _shape_platforms,
)
QUERIES: tuple[Query[Any], ...] = (EVENTS, USERS, TOP_USERS, EVENT_DISTRIBUTION, PLATFORMS)
