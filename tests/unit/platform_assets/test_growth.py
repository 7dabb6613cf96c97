"""When an hour of a build grows, and when it is built whole."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from platform_assets.growth import growing_versions, rules_version
from platform_assets.windows import Window
from storage.control.hours import DirtyHour
from storage.settings import StorageSettings

T0 = datetime(2026, 1, 5, 10, tzinfo=UTC)
RULES = "rules"
DIRTY = DirtyHour(
    hour=T0,
    touched_version=9,
    published_version=7,
    dirty_since_version=8,
    cause="arrival",
    touched_at=T0,
    attempts=0,
    next_attempt_at=None,
    blocked_by=None,
    blocked_at=None,
    rules_version=RULES,
)


@pytest.mark.parametrize("cause", ["arrival", "late"])
def test_an_hour_with_arrivals_since_it_was_published_grows(cause: str) -> None:
    assert growing_versions(Window((T0,)), [DIRTY], cause, RULES) == {T0: 7}


@pytest.mark.parametrize("cause", ["import", "replay", "recovered", "code", "erasure"])
def test_a_run_that_is_no_arrival_builds_whole(cause: str) -> None:
    assert growing_versions(Window((T0,)), [DIRTY], cause, RULES) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"published_version": None},
        {"rules_version": None},
        {"rules_version": "other rules"},
        {"attempts": 1, "blocked_by": "check assert_totals"},
        {"attempts": 3, "blocked_by": "model stg_bronze_events"},
        {"hour": T0 + timedelta(hours=1)},
    ],
    ids=[
        "never published",
        "published by nobody knows what",
        "by other rules",
        "a check failed",
        "builds keep failing",
        "not in the window",
    ],
)
def test_an_hour_of_which_it_is_not_known_to_be_right_is_built_whole(changes: dict[str, Any]) -> None:
    assert growing_versions(Window((T0,)), [replace(DIRTY, **changes)], "arrival", RULES) == {}


@pytest.mark.parametrize(
    "blocked_by", ["model int_published_records", "broken check events_rows_are_valid", "OperationalError", None]
)
def test_an_hour_grows_again_after_a_build_that_judged_no_row(blocked_by: str | None) -> None:
    # Regression: every broken build of a large hour was followed by a whole one, minutes long, which the next fault broke again.
    assert growing_versions(Window((T0,)), [replace(DIRTY, attempts=2, blocked_by=blocked_by)], "arrival", RULES) == {
        T0: 7
    }


def test_a_clean_hour_is_built_whole_for_whoever_asks_beside_one_that_grows() -> None:
    assert growing_versions(Window((T0, T0 + timedelta(hours=1))), [DIRTY], "arrival", RULES) == {T0: 7}


@pytest.mark.parametrize(
    ("code", "settings", "schemas"),
    [
        ("other code", {}, "{}"),
        ("code", {"late_after_seconds": 60}, "{}"),
        ("code", {"deduplication_horizon_days": 1}, "{}"),
        ("code", {}, '{"1": "a schema"}'),
    ],
)
def test_rules_change_with_all_that_decides_rows(code: str, settings: dict[str, Any], schemas: str) -> None:
    known = rules_version("code", StorageSettings(), "{}")
    assert rules_version("code", StorageSettings(), "{}") == known
    assert rules_version(code, StorageSettings(**settings), schemas) != known
