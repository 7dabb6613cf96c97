"""Which builds a run makes of its hours."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from platform_assets.assets.warehouse import PublishConfig, _windows
from platform_assets.windows import Window

HOURS = tuple(datetime(2026, 1, 5, tzinfo=UTC) + timedelta(hours=hour) for hour in range(48))
NAMES = [f"{hour:%Y-%m-%dT%H:%M:%SZ}" for hour in HOURS]


@pytest.mark.parametrize("config", [PublishConfig(hours=NAMES), PublishConfig(replay_id=3)])
def test_named_hours_and_those_of_a_replay_are_one_build(config: PublishConfig) -> None:
    # Cut anew, a part of a replay would be finished by its first half.
    nothing_is_read: Any = None
    assert _windows(config, nothing_is_read, HOURS, "late") == [Window(HOURS)]
