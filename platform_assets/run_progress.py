"""Where a run notes what became of its hours: among the dirty hours, or among the days of a replay that asked for them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy import Engine

from platform_assets.build import Outcome
from platform_assets.windows import Window
from storage.control import replays
from storage.control.hours import mark_failed


class RunProgress(Protocol):
    """Told about every window of a run. A run that dies says nothing, and its hours are asked for again."""

    def begin(self, window: Window) -> Window | None:
        """What of the window is still to build; None when nothing is."""

    def finish(self, outcome: Outcome) -> None:
        """The window is published, or equal to what is."""

    def fail(self, blocked_by: str) -> None:
        """A build of the run failed."""


class DirtyHoursProgress:
    """For runs over dirty hours and by hand. Publishing marks the hours clean by itself (`Builder.publish`)."""

    def __init__(self, engine: Engine, hours: Sequence[datetime], run_id: str) -> None:
        self._engine = engine
        self._hours = set(hours)
        self._run_id = run_id

    def begin(self, window: Window) -> Window | None:
        """All of it: whoever asked for hours gets them built."""
        return window

    def finish(self, outcome: Outcome) -> None:
        """Whatever becomes of the run, these hours have not failed."""
        self._hours -= set(outcome.plan.window.hours)

    def fail(self, blocked_by: str) -> None:
        """The hours that are not published yet stay dirty, with a back-off."""
        mark_failed(self._engine, sorted(self._hours), blocked_by, self._run_id, datetime.now(UTC))


class ReplayProgress:
    """For runs of a replay: what is finished is not built again, and nothing begins once the replay was cancelled."""

    def __init__(self, engine: Engine, replay_id: int, hours: Sequence[datetime], run_id: str) -> None:
        self._engine = engine
        self._replay_id = replay_id
        self._hours = hours
        self._run_id = run_id

    def begin(self, window: Window) -> Window | None:
        """The window's hours that are open."""
        open_hours = replays.begin(self._engine, self._replay_id, window.hours, self._run_id)
        hours = tuple(hour for hour in window.hours if hour in open_hours)
        return Window(hours) if hours else None

    def finish(self, outcome: Outcome) -> None:
        """Its hours are finished."""
        replays.finish(
            self._engine,
            self._replay_id,
            outcome.plan.window.hours,
            publication_id=outcome.publication.publication_id if outcome.publication else None,
            bronze_version=outcome.plan.bronze_version,
            run_id=self._run_id,
        )

    def fail(self, blocked_by: str) -> None:
        """What of the run is open waits for its next attempt. Hours that are dirty besides keep their own state."""
        replays.fail(self._engine, self._replay_id, self._hours, blocked_by, datetime.now(UTC))
