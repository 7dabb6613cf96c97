"""What a run notes of its hours when one of its builds fails."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from platform_assets.run_progress import DirtyHoursProgress
from platform_assets.windows import Window
from storage.control import make_engine
from storage.control.hours import TouchedHour, feed, list_dirty, mark_published
from storage.settings import StorageSettings

pytestmark = pytest.mark.integration
FIRST = datetime(2026, 1, 5, 9, tzinfo=UTC)
SECOND = FIRST + timedelta(days=1)


def test_a_build_that_fails_leaves_alone_what_the_run_published_before_it(storage_settings: StorageSettings) -> None:
    # Regression: all hours of the run waited for a retry, also those that had been published and were touched again meanwhile.
    engine = make_engine(storage_settings)
    feed(engine, [TouchedHour(hour, 1, 1, "late") for hour in (FIRST, SECOND)], after_version=None, to_version=1)
    progress = DirtyHoursProgress(engine, (FIRST, SECOND), "run")
    first = Window((FIRST,))
    assert progress.begin(first) == first
    mark_published(engine, [FIRST], 1, "run")
    done: Any = SimpleNamespace(plan=SimpleNamespace(window=first))
    progress.finish(done)
    feed(engine, [TouchedHour(FIRST, 2, 2, "late")], after_version=1, to_version=2)

    progress.fail("check rows_are_valid")

    assert [(item.hour, item.attempts, item.blocked_by) for item in list_dirty(engine)] == [
        (FIRST, 0, None),
        (SECOND, 1, "check rows_are_valid"),
    ]
    engine.dispose()
