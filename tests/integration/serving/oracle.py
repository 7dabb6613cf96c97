"""What every endpoint must answer, counted in plain Python from the events themselves. Shares no code with the product."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.fixtures.lake_writer import Event

GRAINS = {"5min": timedelta(minutes=5), "1hr": timedelta(hours=1), "1day": timedelta(days=1)}
ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)
FIELDS = {"like": "likes", "comment": "comments", "share": "shares", "view": "views", "click": "clicks"}


def in_range(events: Sequence[Event], app_id: str, to_at: datetime, hours_back: int) -> list[Event]:
    """The engagement events of an app in [to_at - hours_back, to_at)."""
    from_at = to_at - timedelta(hours=hours_back)
    return [e for e in engagement(events, app_id) if from_at <= e.occurred_at < to_at]


def engagement(events: Sequence[Event], app_id: str) -> list[Event]:
    """The engagement events of an app."""
    return [event for event in events if event.app_id == app_id and event.family == "engagement"]


def users(
    events: Sequence[Event], app_id: str, to_at: datetime, hours_back: int = 24, limit: int = 100, **only: Any
) -> list[dict[str, Any]]:
    """Rows of /users."""
    per_row: dict[tuple[str, Any], Counter[str]] = defaultdict(Counter)
    for event in in_range(events, app_id, to_at, hours_back):
        if all(getattr(event, name) == value for name, value in only.items()):
            per_row[event.user_id, event.platform][event.event_type] += 1
    ordered = sorted(per_row.items(), key=lambda item: (-item[1].total(), item[0]))
    return [
        {
            "user_id": user_id,
            "platform": platform,
            "total_events": counts.total(),
            **{name: counts[kind] for kind, name in FIELDS.items()},
        }
        for (user_id, platform), counts in ordered[:limit]
    ]


def top_users(
    events: Sequence[Event], app_id: str, to_at: datetime, hours_back: int = 24, limit: int = 10
) -> list[dict[str, Any]]:
    """Rows of /top-users."""
    per_user: dict[str, Counter[str]] = defaultdict(Counter)
    for event in in_range(events, app_id, to_at, hours_back):
        per_user[event.user_id][str(event.platform)] += 1
    totals = sorted({counts.total() for counts in per_user.values()}, reverse=True)
    ordered = sorted(per_user.items(), key=lambda item: (-item[1].total(), item[0]))
    return [
        {
            "user_id": user_id,
            "platform": sorted(counts, key=lambda platform: (-counts[platform], platform))[0],
            "total_events": counts.total(),
            "rank": totals.index(counts.total()) + 1,
        }
        for user_id, counts in ordered[:limit]
    ]


def distribution(events: Sequence[Event], app_id: str, to_at: datetime, hours_back: int = 24) -> list[tuple[str, int]]:
    """Event types and their counts."""
    counts = Counter(event.event_type for event in in_range(events, app_id, to_at, hours_back))
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def platforms(events: Sequence[Event], app_id: str, to_at: datetime, hours_back: int = 24) -> list[dict[str, Any]]:
    """Rows of /platforms."""
    found: dict[str, list[str]] = defaultdict(list)
    for event in in_range(events, app_id, to_at, hours_back):
        found[str(event.platform)].append(event.user_id)
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [{"platform": name, "total_events": len(ids), "unique_users": len(set(ids))} for name, ids in ordered]


def windows(
    events: Sequence[Event],
    app_id: str,
    to_at: datetime,
    time_window: str,
    hours_back: int,
    limit: int = 100,
    **only: Any,
) -> list[dict[str, Any]]:
    """Cells of /events: every window that intersects the range, whole."""
    grain, from_at = GRAINS[time_window], to_at - timedelta(hours=hours_back)
    cells: dict[tuple[datetime, str, str], list[str]] = defaultdict(list)
    for event in engagement(events, app_id):
        start = event.occurred_at - (event.occurred_at - ORIGIN) % grain
        if start < to_at and start + grain > from_at and all(getattr(event, k) == v for k, v in only.items()):
            cells[start, event.event_type, str(event.platform)].append(event.user_id)
    ordered = sorted(cells.items(), key=lambda item: (-item[0][0].timestamp(), item[0][1], item[0][2]))
    return [
        {
            "window_start": start,
            "window_end": start + grain,
            "event_type": event_type,
            "platform": platform,
            "event_count": len(ids),
            "unique_users": len(set(ids)),
        }
        for (start, event_type, platform), ids in ordered[:limit]
    ]
