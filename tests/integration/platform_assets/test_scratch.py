"""A scratch: a part of bronze built apart gives the numbers that are published, and touches nothing live."""

from datetime import UTC, datetime, timedelta

import pytest

from platform_assets.scratch import Source, make_scratch
from storage import publications, scratch
from storage.bronze import latest_version
from storage.control.replays import ReplayRange
from storage.scratch import Scratch, ScratchError
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import BronzeRow, engagement_row
from tests.fixtures.lakehouse import Lakehouse, open_lakehouse
from tests.fixtures.projects import ProjectInProcess

pytestmark = pytest.mark.integration
T0 = datetime(2026, 1, 5, 10, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = T0.replace(hour=0)
ONE_DAY = ReplayRange(MIDNIGHT, MIDNIGHT + DAY)


def make(lakehouse: Lakehouse, wanted: ReplayRange, name: str = "check") -> Scratch:
    settings = lakehouse.settings
    version = latest_version(settings)
    assert version is not None

    def fill(target: str) -> int:
        return scratch.copy_bronze(settings, version, wanted, target)

    source = Source("bronze", f"bronze version {version}", fill)
    now = datetime.now(UTC)
    return make_scratch(
        settings, lakehouse.engine, ProjectInProcess(), name, wanted, source, now=now, max_rows=1_000_000
    )


@pytest.mark.feature("S1-11", "S1-F2")
def test_a_day_built_apart_equals_what_is_published_and_can_be_asked(storage_settings: StorageSettings) -> None:
    lakehouse = open_lakehouse(storage_settings, checks=False)
    # The copy of `a` in the range lost to one of the day before: without that one it would count.
    landed: list[BronzeRow] = [
        engagement_row(0, T0 - DAY, "a"),
        engagement_row(1, T0, "a"),
        engagement_row(2, T0, "b", app_id="shop"),
        engagement_row(3, T0 + HOUR, "c", event_type="like"),
        engagement_row(4, T0 + HOUR, "d", body={"user_id": ""}),
        engagement_row(5, T0 + DAY, "e"),
    ]
    lakehouse.land(landed)
    lakehouse.publish([T0 - DAY, T0, T0 + HOUR, T0 + DAY])
    newest = publications.latest(lakehouse.engine)

    made = make(lakehouse, ONE_DAY)
    assert make(lakehouse, ONE_DAY) == made, "the same again is the same scratch"
    assert made.rows_by_table["silver.events"] == 2
    assert made.rows_by_table["silver.duplicates"] == 1
    assert made.rows_by_table["silver.quarantine"] == 1
    for spec in lakehouse.specs:
        _, apart = scratch.query(storage_settings, "check", f"select * from {spec.qualified_name} order by all")
        index = [name for name, _ in spec.columns].index("event_date")
        published = [row for row in lakehouse.rows(spec.qualified_name) if row[index] == ONE_DAY.first_hour.date()]
        assert apart == published, spec.qualified_name
    names, rows = scratch.query(storage_settings, "check", "select count(*) as n from bronze.events")
    assert (names, rows) == (["n"], [(5,)])

    with pytest.raises(ScratchError, match="refused"):
        scratch.query(storage_settings, "check", "delete from gold.agg_day_events")
    with pytest.raises(ScratchError, match="no such records"):
        make(lakehouse, ReplayRange(MIDNIGHT, MIDNIGHT + DAY, "nobody"), "empty")
    with pytest.raises(ScratchError, match="no scratch other"):
        scratch.query(storage_settings, "other", "select 1")
    with pytest.raises(ScratchError, match="no name for a scratch"):
        scratch.drop(storage_settings, "../builds")
    assert [item.name for item in scratch.listing(storage_settings)] == ["check"]
    assert scratch.drop(storage_settings, "check")
    assert not scratch.drop(storage_settings, "check")
    assert publications.latest(lakehouse.engine) == newest
    lakehouse.engine.dispose()
