"""Feeds the dirty-hours table from bronze's Delta log and tells which hours are due. No Dagster here."""

import logging
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from platform_assets.windows import is_current
from storage.control.hours import DirtyHour, TouchedHour, begin_anew, feed, list_dirty, read_cursor
from storage.live.hours import forget_compared_versions
from storage.settings import StorageSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arrival:
    """What one look found: the newest bronze version, and how many hours new commits touched (0 when nothing came)."""

    version: int | None
    touched_count: int


def feed_new_commits(settings: StorageSettings, engine: Engine, now: datetime) -> Arrival:
    """Records the hours that commits since the cursor touched. Idempotent; two feeders at once cannot both record.

    A bronze that ends before the cursor is another one (restored, or begun anew): all its hours are touched.
    """
    from storage.bronze import latest_version, touched_hours

    # The cursor first: bronze only grows, so the version is never older than what another feeder has seen.
    cursor = read_cursor(engine)
    version = latest_version(settings)
    if version is not None and cursor is not None and version < cursor:
        log.warning("bronze ends at version %d, and had %d: every hour of it is built anew", version, cursor)
        if not begin_anew(engine, cursor):
            return Arrival(version, 0)
        forget_compared_versions(engine)
        cursor = None
    if version is None or cursor == version:
        return Arrival(version, 0)
    touches = touched_hours(settings, cursor, version)
    hours = [
        TouchedHour(touch.hour, touch.first_version, touch.last_version, _cause(touch.hour, touch.query, now))
        for touch in touches
    ]
    fed = feed(engine, hours, after_version=cursor, to_version=version)
    return Arrival(version, len(hours) if fed else 0)


def _cause(hour: datetime, query: str, now: datetime) -> str:
    if query == "import":
        return "import"
    return "arrival" if is_current(hour, now) else "late"


def due_hours(engine: Engine, now: datetime) -> list[DirtyHour]:
    """Dirty hours whose back-off is over, oldest first."""
    return [hour for hour in list_dirty(engine) if hour.next_attempt_at is None or hour.next_attempt_at <= now]


def cause_of(hours: list[DirtyHour]) -> str:
    """The cause of a run over these hours: `late` before `import` before `arrival`; `replay` when none of them is dirty."""
    causes = {hour.cause for hour in hours}
    return next((cause for cause in ("late", "import", "arrival") if cause in causes), "replay")
