"""Compares days built again from bronze with what is published, and says loudly what differs."""

from datetime import UTC, date, datetime
from logging import Logger

from sqlalchemy import Engine

from platform_assets.arrivals import feed_new_commits
from platform_assets.build import Builder
from platform_assets.windows import Window, hours_of_days
from storage.control.alerts import open_alert, resolve_alert
from storage.control.hours import list_dirty
from storage.settings import StorageSettings

ALERT = "reconciliation_difference"


class Reconciliation:
    """The comparisons of one run, window by window."""

    def __init__(self, settings: StorageSettings, engine: Engine, run_id: str, log: Logger) -> None:
        self._settings = settings
        self._engine = engine
        self._run_id = run_id
        self._log = log
        self._equal: set[datetime] = set()

    def compare(self, builder: Builder, window: Window) -> None:
        """Logs the difference, with one alert per day unless records that wait to be published explain it.

        A day of which the run has found every hour equal resolves its alert.
        """
        dirty = self._dirty_days()
        differences = builder.compare(window, run_id=f"{self._run_id}-compare")
        # It reads the newest bronze, of which the sensor may not have told yet.
        feed_new_commits(self._settings, self._engine, datetime.now(UTC))
        dirty |= self._dirty_days()
        differing = {item.day for item in differences}
        if differing:
            self._log.error("Comparison with what is published: %s", [item.as_dict() for item in differences])
        else:
            self._log.info("Comparison with what is published: equal, cell for cell")
        for day in sorted(differing - dirty):
            found = [item.as_dict() for item in differences if item.day == day]
            message = f"{day}, built again from bronze, is not what was published; run {self._run_id} publishes the difference."
            open_alert(self._engine, ALERT, day.isoformat(), message, {"differences": found})
        self._equal |= {hour for hour in window.hours if hour.date() not in differing}
        for day in window.days:
            if self._equal.issuperset(hours_of_days(day, day)):
                resolve_alert(self._engine, ALERT, day.isoformat())

    def _dirty_days(self) -> set[date]:
        return {item.hour.date() for item in list_dirty(self._engine)}
