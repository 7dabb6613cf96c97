"""Reads live minutes: rolled up to 5 minutes, hours and days, and as sliding windows. Every row says its source and how final it is.

Sums add up; distinct users are the union of the minutes' sketches. Answers that promise exact uniques do not come from here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from storage.live.breakdowns import KEY_NAMES, Breakdown
from storage.live.sketches import UserEstimate, estimate_users
from storage.live.state import WINDOWS_QUERY
from storage.live.tables import hours, minutes, queries

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
TRENDING_MINUTES = 5


class Grain(StrEnum):
    """Lengths of tumbling windows."""

    MINUTE = "1min"
    FIVE_MINUTES = "5min"
    HOUR = "1hr"
    DAY = "1day"

    @property
    def length(self) -> timedelta:
        """As a duration."""
        return _LENGTHS[self]


_LENGTHS = {
    Grain.MINUTE: MINUTE,
    Grain.FIVE_MINUTES: timedelta(minutes=5),
    Grain.HOUR: HOUR,
    Grain.DAY: timedelta(days=1),
}


class State(StrEnum):
    """How final a window is."""

    OPEN = "open"
    """more may come"""
    CLOSED = "closed"
    """all of it is behind the watermark: only late events can come, and they go to the ledger"""
    SUPERSEDED = "superseded"
    """gold has published every hour of it and is to be asked instead"""


@dataclass(frozen=True)
class LiveWindow:
    """One window of one app, by `keys`. Sums over downloads are of successes, but for the size. `source` is always `live`.

    Rates and means are weighted: of the window's sums, never means of means. Rounded half to even.
    """

    window_start: datetime
    window_end: datetime
    app_id: str
    keys: tuple[str, ...]
    event_count: int
    success_count: int
    failed_count: int
    cancelled_count: int
    size_mb: Decimal
    duration_seconds: Decimal
    speed_mbps: Decimal
    title: str | None
    users: UserEstimate
    state: State
    source: str = "live"

    @property
    def success_rate(self) -> Decimal:
        """Successes of all, four places. Of downloads; no other event has an outcome."""
        return round(Decimal(self.success_count) / self.event_count, 4)

    @property
    def average_speed_mbps(self) -> Decimal | None:
        """Mean Mbit/s of successes, two places; None without one."""
        return round(self.speed_mbps / self.success_count, 2) if self.success_count else None

    @property
    def average_duration_seconds(self) -> Decimal | None:
        """Mean seconds of successes, two places; None without one."""
        return round(self.duration_seconds / self.success_count, 2) if self.success_count else None

    @property
    def total_size_gb(self) -> Decimal:
        """Of all downloads, in units of 1,024 MB, two places."""
        return round(self.size_mb / 1024, 2)


@dataclass(frozen=True)
class Stretch:
    """A stretch of time that one source answers for."""

    start: datetime
    end: datetime
    source: str


def read_windows(
    engine: Engine,
    breakdown: Breakdown,
    grain: Grain,
    start: datetime,
    end: datetime,
    *,
    by: Sequence[str] | None = None,
    app_id: str | None = None,
) -> list[LiveWindow]:
    """Windows of minutes in [start, end), oldest first, then by app and keys. `by`: some of the breakdown's key names (default: all)."""
    window = sa.func.date_bin(grain.length, minutes.c.minute, sa.literal(datetime(2000, 1, 1, tzinfo=UTC)))
    return _read(engine, breakdown, window, grain.length, minutes, start, end, by, app_id)


def read_sliding(
    engine: Engine,
    breakdown: Breakdown,
    start: datetime,
    end: datetime,
    *,
    by: Sequence[str] | None = None,
    app_id: str | None = None,
    length_minutes: int = TRENDING_MINUTES,
) -> list[LiveWindow]:
    """For each whole minute t in [start, end) with data: what occurred in [t − length, t). Ordered by t, −event_count, keys."""
    length = timedelta(minutes=length_minutes)
    steps = sa.func.generate_series(1, length_minutes).table_valued("step").render_derived()
    window = minutes.c.minute + steps.c.step * sa.literal(MINUTE) - sa.literal(length)
    rows = _read(
        engine,
        breakdown,
        window,
        length,
        minutes.join(steps, sa.true()),
        start - length,
        end,
        by,
        app_id,
        (window >= start - length, window < end - length),
    )
    return sorted(rows, key=lambda row: (row.window_end, -row.event_count, row.keys, row.app_id))


def split_by_source(engine: Engine, start: datetime, end: datetime) -> list[Stretch]:
    """Who answers for [start, end): gold for hours that it has published after their end, live minutes for all others. In order."""
    with engine.connect() as connection:
        published = {
            row.hour.astimezone(UTC)
            for row in connection.execute(
                sa.select(hours.c.hour).where(
                    hours.c.superseded_at.is_not(None), hours.c.hour >= start - HOUR, hours.c.hour < end
                )
            )
        }
    stretches: list[Stretch] = []
    at = start
    while at < end:
        hour = at.replace(minute=0, second=0, microsecond=0)
        until, source = min(hour + HOUR, end), "gold" if hour in published else "live"
        if stretches and stretches[-1].source == source:
            stretches[-1] = Stretch(stretches[-1].start, until, source)
        else:
            stretches.append(Stretch(at, until, source))
        at = until
    return stretches


def _read(
    engine: Engine,
    breakdown: Breakdown,
    window: Any,
    length: timedelta,
    source: Any,
    start: datetime,
    end: datetime,
    by: Sequence[str] | None,
    app_id: str | None,
    conditions: Sequence[Any] = (),
) -> list[LiveWindow]:
    names = KEY_NAMES[breakdown]
    places = [names.index(name) + 1 for name in (names if by is None else by)]
    keys: sa.ColumnElement[Any] = sa.literal_column(
        "array[" + ", ".join(f"live.minutes.keys[{place}]" for place in places) + "]::text[]"
    )
    conditions = [
        *conditions,
        minutes.c.breakdown == breakdown.value,
        minutes.c.minute >= start,
        minutes.c.minute < end,
    ]
    if app_id is not None:
        conditions.append(minutes.c.app_id == app_id)
    statement = (
        sa.select(
            window.label("window_start"),
            minutes.c.app_id,
            keys.label("keys"),
            *[
                sa.cast(sa.func.sum(minutes.c[name]), sa.BigInteger).label(name)
                for name in ("event_count", "success_count", "failed_count", "cancelled_count")
            ],
            *[
                sa.func.coalesce(sa.func.sum(minutes.c[name]), sa.literal(Decimal(0))).label(name)
                for name in ("size_mb", "duration_seconds", "speed_mbps")
            ],
            sa.func.max(minutes.c.title).label("title"),
            sa.func.array_agg(minutes.c.users_sketch).label("sketches"),
        )
        .select_from(source)
        .where(*conditions)
        .group_by(sa.text("1, 2, 3"))
        .order_by(sa.text("1, 2, 3"))
    )
    with engine.connect() as connection:
        closed_before = connection.execute(
            sa.select(queries.c.closed_before).where(queries.c.name == WINDOWS_QUERY)
        ).scalar()
        superseded = {
            row.hour.astimezone(UTC)
            for row in connection.execute(
                sa.select(hours.c.hour).where(
                    hours.c.superseded_at.is_not(None), hours.c.hour >= start - timedelta(days=1), hours.c.hour < end
                )
            )
        }
        rows = connection.execute(statement).all()
    return [_to_window(row, length, closed_before, superseded) for row in rows]


def _to_window(row: Any, length: timedelta, closed_before: datetime | None, superseded: set[datetime]) -> LiveWindow:
    start = row.window_start.astimezone(UTC)
    end = start + length
    return LiveWindow(
        window_start=start,
        window_end=end,
        app_id=row.app_id,
        keys=tuple(row.keys),
        event_count=row.event_count,
        success_count=row.success_count,
        failed_count=row.failed_count,
        cancelled_count=row.cancelled_count,
        size_mb=row.size_mb,
        duration_seconds=row.duration_seconds,
        speed_mbps=row.speed_mbps,
        title=row.title,
        users=estimate_users(row.sketches),
        state=_state(start, end, closed_before, superseded),
    )


def _state(start: datetime, end: datetime, closed_before: datetime | None, superseded: set[datetime]) -> State:
    hour = start.replace(minute=0, second=0, microsecond=0)
    of_window = [hour + HOUR * n for n in range(int((end - hour) / HOUR) + 1) if hour + HOUR * n < end]
    if superseded.issuperset(of_window):
        return State.SUPERSEDED
    return State.CLOSED if closed_before is not None and end <= closed_before else State.OPEN
