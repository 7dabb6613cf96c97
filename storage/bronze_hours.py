"""How many records bronze holds per hour, of an app and a type of event where asked: what replays and large builds are planned from."""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta

from storage.control.replays import ReplayRange
from storage.duckdb_session import open_session
from storage.settings import StorageSettings


def count_by_hour(settings: StorageSettings, version: int, wanted: ReplayRange) -> dict[datetime, int]:
    """Records per `event_hour` within the range, hours without any left out. Reads no bodies."""
    with open_session(settings) as session:
        rows = session.execute(
            f"select event_hour, count(*) from delta_scan(?, version => {int(version)}) where {RANGE_CONDITION} group by event_hour",
            [settings.bronze_uri, *range_values(wanted)],
        ).fetchall()
    return {hour.astimezone(UTC): count for hour, count in rows}


def count_hours_of(settings: StorageSettings, dates: Collection[date]) -> dict[datetime, int]:
    """Records per `event_hour` on the UTC dates (at least one), hours without any left out.

    Reads one column, of the files between the first and the last of them.
    """
    # A list of dates leaves no file unread, constant bounds do.
    bounds = f"event_date between date '{min(dates)}' and date '{max(dates)}'"
    wanted = ", ".join(f"date '{day}'" for day in sorted(dates))
    with open_session(settings) as session:
        rows = session.execute(
            f"select event_hour, count(*) from delta_scan(?) where {bounds} and event_date in ({wanted}) group by event_hour",
            [settings.bronze_uri],
        ).fetchall()
    return {hour.astimezone(UTC): count for hour, count in rows}


# With constants for the dates, so that whole days are left unread.
RANGE_CONDITION = (
    "event_date between ?::date and ?::date and event_hour >= ?::timestamptz and event_hour < ?::timestamptz "
    "and (? = '' or app_id = ?) and (? = '' or event_type = ?)"
)


def range_values(wanted: ReplayRange) -> list[object]:
    """What RANGE_CONDITION binds, in order."""
    last = wanted.end_hour - timedelta(hours=1)
    return [
        wanted.first_hour.date(),
        last.date(),
        wanted.first_hour,
        wanted.end_hour,
        wanted.app_id,
        wanted.app_id,
        wanted.event_type,
        wanted.event_type,
    ]
