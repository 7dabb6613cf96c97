"""Build apart, check, promote: on a real lake, with real dbt builds."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from storage import publications
from storage.promotion import StaleBaseError
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import BronzeRow, engagement_row, generic_row
from tests.fixtures.lakehouse import Lakehouse, open_lakehouse

pytestmark = pytest.mark.integration
T0 = datetime(2026, 1, 5, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def lakehouse(storage_settings: StorageSettings) -> Iterator[Lakehouse]:
    opened = open_lakehouse(storage_settings)
    yield opened
    opened.engine.dispose()


def hours_of(rows: list[BronzeRow]) -> list[datetime]:
    return sorted({row.event_hour for row in rows})


def test_a_window_is_published_once_and_building_it_again_publishes_nothing(lakehouse: Lakehouse) -> None:
    lakehouse.land([engagement_row(offset, T0 + timedelta(minutes=offset)) for offset in range(3)])
    first = lakehouse.publish([T0]).publication
    assert first is not None
    assert first.publication_id == 1
    assert first.changes["silver.events"] == {"added": 3, "removed": 0}
    assert lakehouse.publish([T0]).publication is None
    assert publications.latest(lakehouse.engine) == first


@pytest.mark.feature("S1-9")
def test_a_late_copy_changes_only_its_own_hour_and_the_earlier_publication_still_answers(lakehouse: Lakehouse) -> None:
    lakehouse.land([engagement_row(0, T0, "a"), engagement_row(1, T0 + HOUR, "b")])
    first = lakehouse.publish([T0, T0 + HOUR]).publication
    assert first is not None
    before = lakehouse.everything()
    lakehouse.land([engagement_row(2, T0 + HOUR, "a", received_at=T0 + 5 * HOUR)])
    second = lakehouse.publish([T0 + HOUR], cause="late").publication
    assert second is not None
    assert second.changes["silver.duplicates"] == {"added": 1, "removed": 0}
    assert {table for table, change in second.changes.items() if any(change.values())} == {"silver.duplicates"}
    assert lakehouse.everything(first) == before


def test_a_build_on_an_overtaken_base_is_made_again(lakehouse: Lakehouse) -> None:
    """Another run publishes while this one builds: the first promotion is refused, the second build sees the new base."""
    lakehouse.land([engagement_row(0, T0), engagement_row(1, T0 + HOUR)])
    original = lakehouse.builder._invoke_dbt
    bases = []

    def overtaken(plan):  # type: ignore[no-untyped-def]
        bases.append(plan.base.publication_id)
        events = original(plan)
        if len(bases) == 1:
            lakehouse.builder._invoke_dbt = original
            lakehouse.publish([T0], run_id="other")
            lakehouse.builder._invoke_dbt = overtaken
        return events

    lakehouse.builder._invoke_dbt = overtaken
    second = lakehouse.publish([T0 + HOUR], run_id="slow").publication
    assert bases == [None, 1]
    assert second is not None
    assert (second.publication_id, second.base_publication_id) == (2, 1)
    days = lakehouse.rows("gold.agg_day_events")
    assert [row[-2] for row in days] == [2]


def test_promoting_a_build_on_a_stale_base_is_refused(lakehouse: Lakehouse) -> None:
    from platform_assets.windows import Window
    from storage.promotion import promote

    lakehouse.land([engagement_row(0, T0)])
    builder = lakehouse.builder
    plan = builder.plan(Window((T0,)), "stale")
    builder._build(plan)
    lakehouse.publish([T0], run_id="first")
    with pytest.raises(StaleBaseError):
        promote(lakehouse.settings, lakehouse.engine, lakehouse.specs, builder._candidate(plan, "arrival"))


def random_bronze(seed: int) -> list[list[BronzeRow]]:
    """Commits of a seeded bronze: copies across hours, days, users and partitions, some beyond the horizon, some quarantined."""
    random_source = random.Random(seed)
    landed = datetime(2026, 2, 1, tzinfo=UTC)
    offsets = dict.fromkeys(range(3), 0)
    commits = []
    for _ in range(4):
        commit = []
        for _ in range(random_source.randint(3, 12)):
            partition = random_source.randrange(3)
            occurred = T0 + timedelta(
                days=random_source.choice([0, 0, 0, 0, 1, 1, 5, 9]),
                hours=random_source.randrange(3),
                minutes=random_source.randrange(60),
            )
            landed += timedelta(milliseconds=random_source.randrange(3))
            make = random_source.choice([engagement_row, engagement_row, generic_row])
            body = {"user_id": f"u{random_source.randrange(4)}"}
            if random_source.random() < 0.1:
                body["user_id"] = ""
            commit.append(
                make(
                    offsets[partition],
                    occurred,
                    f"e{random_source.randrange(12)}",
                    kafka_partition=partition,
                    ingested_at=landed,
                    received_at=occurred + timedelta(minutes=random_source.choice([0, 9, 11])),
                    body=body,
                )
            )
            offsets[partition] += 1
        landed += timedelta(seconds=1)
        commits.append(commit)
    return commits


@pytest.mark.feature("S0-10", "K4")
@pytest.mark.parametrize(
    ("seed", "grows"),
    [
        pytest.param(1, True, id="growing-1"),
        *(
            pytest.param(seed, grows, id=f"{name}-{seed}", marks=pytest.mark.slow)
            for seed, grows, name in (
                (1, False, "whole"),
                (2, False, "whole"),
                (2, True, "growing"),
                (3, True, "growing"),
            )
        ),
    ],
)
def test_any_split_into_runs_in_any_order_publishes_the_same_tables_as_one_run(
    seed: int, grows: bool, lakehouse: Lakehouse, make_lakehouse
) -> None:
    """Commits arrive between runs; each run takes a random part of what is dirty then, in random order; the rest comes last."""
    commits = random_bronze(seed)
    whole = make_lakehouse()
    for commit in commits:
        whole.land(commit)
    whole.publish(hours_of([row for commit in commits for row in commit]))

    random_source = random.Random(seed)
    dirty: set[datetime] = set()
    grown = 0
    for commit in commits:
        lakehouse.land(commit)
        if grows:
            lakehouse.note_arrivals()
        dirty.update(hours_of(commit))
        part = set(random_source.sample(sorted(dirty), k=random_source.randint(0, len(dirty))))
        if part:
            grown += len(lakehouse.publish(part).plan.cutoffs)
            dirty -= part
    rest = sorted(dirty)
    random_source.shuffle(rest)
    for hours in (rest[::2], rest[1::2]):
        if hours:
            grown += len(lakehouse.publish(hours).plan.cutoffs)
    assert lakehouse.everything() == whole.everything()
    assert any(whole.rows("silver.duplicates")), "the seed must make duplicates, or the test proves nothing"
    assert (grown > 0) == grows, "hours grow exactly where arrivals are noted, or the test proves nothing"
