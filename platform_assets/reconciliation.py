"""Compares days built again from bronze with what is published, and says loudly what differs."""

from datetime import UTC, date, datetime
from logging import Logger

from sqlalchemy import Engine

from platform_assets.arrivals import feed_new_commits
from platform_assets.build import Builder
from platform_assets.windows import Window
from storage.control.alerts import open_alert, resolve_alert
from storage.control.hours import list_dirty
from storage.settings import StorageSettings

ALERT = "reconciliation_difference"


def reconcile(
    settings: StorageSettings, engine: Engine, builder: Builder, window: Window, run_id: str, log: Logger
) -> None:
    """Logs the difference, with one alert per day unless records that wait to be published explain it; an equal day resolves its alert."""
    dirty = _dirty_days(engine)
    differences = builder.compare(window, run_id=f"{run_id}-compare")
    # It reads the newest bronze, of which the sensor may not have told yet.
    feed_new_commits(settings, engine, datetime.now(UTC))
    dirty |= _dirty_days(engine)
    differing = {item.day for item in differences}
    if differing:
        log.error("Comparison with what is published: %s", [item.as_dict() for item in differences])
    else:
        log.info("Comparison with what is published: equal, cell for cell")
    for day in sorted(differing - dirty):
        found = [item.as_dict() for item in differences if item.day == day]
        message = f"{day}, built again from bronze, is not what was published; run {run_id} publishes the difference."
        open_alert(engine, ALERT, day.isoformat(), message, {"differences": found})
    for day in sorted(set(window.days) - differing):
        resolve_alert(engine, ALERT, day.isoformat())


def _dirty_days(engine: Engine) -> set[date]:
    return {item.hour.date() for item in list_dirty(engine)}
