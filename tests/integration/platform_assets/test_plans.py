"""Plan and apply: changed code is built apart, shown by table and day, and published exactly as shown or refused."""

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from platform_assets.plans import make_plan
from platform_assets.replay_input import find_days
from storage import publications
from storage.comparison import DayDifference
from storage.control.hours import feed
from storage.control.plans import Plan
from storage.control.replays import ReplayRange
from storage.lake import open_lake
from storage.plan_application import apply_plan
from storage.plan_files import result_file
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import engagement_row
from tests.fixtures.lakehouse import Lakehouse, open_lakehouse
from tests.fixtures.projects import ProjectInProcess, copy_project

pytestmark = pytest.mark.integration
T0 = datetime(2026, 1, 5, 10, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DAYS = ReplayRange(T0 - 10 * HOUR, T0 + 38 * HOUR)
STAYING = 'windows of growing hours that nothing arrived in. One row per application, family, event type, platform and window."\n'
COUNTED_ONCE = '- {name: counted_once, data_type: bigint, description: "Each event once."}'
CHANGED = {
    # A new column, of built windows and of those that stay as published, where the lake has none of that name yet.
    "models/gold/agg_5min_events.sql": {
        "count(*) as event_count": "2 * count(*) as event_count,\n    count(*) as counted_once",
        "untouched.event_count": "untouched.event_count,\n    untouched.counted_once",
    },
    "models/gold/agg_5min_events.yml": {"- {name: unique_users,": f"{COUNTED_ONCE}\n      - {{name: unique_users,"},
    "models/gold/published.yml": {
        f"{STAYING}        columns:\n": f"{STAYING}        columns:\n          {COUNTED_ONCE}\n"
    },
    "models/gold/agg_hour_events.sql": {"group by app_id": "where event_type <> 'like'\ngroup by app_id"},
}


@pytest.fixture
def lakehouse(storage_settings: StorageSettings) -> Iterator[Lakehouse]:
    opened = open_lakehouse(storage_settings, checks=False)
    yield opened
    opened.engine.dispose()


def plan(lakehouse: Lakehouse, project: ProjectInProcess, wanted: ReplayRange = DAYS, max_rows: int = 2) -> Plan:
    """Small windows, so that one plan is made of several builds."""
    days = find_days(lakehouse.settings, lakehouse.engine, wanted)
    now = datetime.now(UTC)
    return make_plan(
        lakehouse.settings, lakehouse.engine, project, days, now=now, kept=timedelta(days=7), max_rows=max_rows
    )


class Reader(threading.Thread):
    """Reads the newest publication over and over, as the analytics API does, and keeps what it saw of the planned days."""

    def __init__(self, lakehouse: Lakehouse) -> None:
        super().__init__(daemon=True)
        self._lakehouse = lakehouse
        self._over = threading.Event()
        self.seen: list[tuple[int, int, int]] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._over.is_set():
                newest = publications.latest(self._lakehouse.engine)
                assert newest is not None
                with open_lake(self._lakehouse.settings, snapshot_id=newest.snapshot_id) as lake:
                    row = lake.execute(
                        "select (select count(*) from lake.silver.events where event_date < date '2026-01-07'), "
                        "(select sum(event_count) from lake.gold.agg_5min_events where event_date < date '2026-01-07')"
                    ).fetchone()
                assert row is not None
                self.seen.append((newest.publication_id, row[0], row[1]))
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.error = error

    def finish(self) -> list[tuple[int, int, int]]:
        self._over.set()
        self.join(60)
        assert self.error is None, self.error
        return self.seen


@pytest.mark.feature("S4-16", "S1-11")
def test_a_plan_shows_what_changed_code_changes_and_is_applied_as_shown(lakehouse: Lakehouse, tmp_path: Path) -> None:
    first = [engagement_row(0, T0), engagement_row(1, T0 + HOUR, event_type="like"), engagement_row(2, T0 + DAY)]
    version = lakehouse.land([*first, engagement_row(3, T0 + 9 * DAY)])
    assert feed(lakehouse.engine, [], after_version=None, to_version=version)
    lakehouse.publish([T0, T0 + HOUR, T0 + DAY, T0 + 9 * DAY])
    before = lakehouse.everything()
    project = ProjectInProcess(copy_project(tmp_path / "changed", CHANGED))

    made = plan(lakehouse, project)
    assert made.state == "ready"
    assert made.days == (date(2026, 1, 5), date(2026, 1, 6))
    found = {(item.table, item.day.day): item for item in made.differences}
    assert set(found) == {("gold.agg_5min_events", 5), ("gold.agg_5min_events", 6), ("gold.agg_hour_events", 5)}
    assert found["gold.agg_5min_events", 5] == DayDifference(
        "gold.agg_5min_events", date(2026, 1, 5), 0, 0, 2,
        {"row_count": (2, 2), "event_count": (2, 4), "counted_once": (0, 2), "unique_users": (2, 2)},
    )  # fmt: skip
    hourly = found["gold.agg_hour_events", 5]
    assert (hourly.added, hourly.removed, hourly.changed) == (0, 1, 0)
    assert hourly.measures["event_count"] == (2, 1)
    assert lakehouse.everything() == before, "a plan publishes nothing"
    assert plan(lakehouse, project) == made, "the same plan twice is one"

    query = "select {} from {}gold.agg_5min_events where event_date < date '2026-01-07' order by all"
    columns = "counted_once, event_count, window_start"
    with duckdb.connect(str(result_file(lakehouse.settings, made.plan_id)), read_only=True) as built:
        planned = built.execute(query.format(columns, "")).fetchall()
    reader = Reader(lakehouse)
    reader.start()
    applied = apply_plan(lakehouse.settings, lakehouse.engine, made.plan_id)
    again = apply_plan(lakehouse.settings, lakehouse.engine, made.plan_id)
    seen = reader.finish()
    newest = publications.latest(lakehouse.engine)
    assert newest is not None
    assert again == applied
    assert (applied.state, applied.publication_id) == ("applied", newest.publication_id)
    assert (newest.cause, newest.run_id, newest.code_version) == ("code", made.run_id, project.code_version)
    assert newest.changes["gold.agg_5min_events"] == {"added": 3, "removed": 3}
    assert newest.changes["gold.agg_hour_events"] == {"added": 0, "removed": 1}
    assert set(seen) <= {(newest.publication_id - 1, 3, 3), (newest.publication_id, 3, 6)}, "never empty, never half"

    with open_lake(lakehouse.settings) as lake:
        assert lake.execute(query.format(columns, "lake.")).fetchall() == planned

    # The ledger names what closed hours said before, and what they say since.
    with open_lake(lakehouse.settings) as lake:
        rows = lake.execute(
            "select distinct cause, run_id, old_value, new_value from lake.operations.restatements where publication_id = ? "
            "and table_name = 'gold.agg_5min_events' and measure = 'event_count' and period_start = ?",
            [newest.publication_id, T0],
        ).fetchall()
    assert rows == [("code", made.run_id, 1.0, 2.0)]
