"""Hours that grow: the same tables as when they are built whole, checks that still find what is wrong, and a known way back."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from ingestion.contracts.topics import DOWNLOADS_TOPIC
from ingestion.schema_registry.own_contracts import register_own
from ingestion.schema_registry.service import SchemaRegistry
from ingestion.schema_registry.store import PostgresRegistryStore
from platform_assets.build import Builder, Outcome
from platform_assets.windows import Window
from storage.control.hours import mark_failed
from storage.lake import open_lake
from storage.settings import StorageSettings
from storage.tracing.way import trace
from tests.fixtures.lakehouse import DBT_DIR, DbtInProcess, Lakehouse, open_lakehouse
from tests.integration.verification.rows import HOUR, avro_download, engagement, json_download, product
from tests.integration.verification.world import StampedRow, World

pytestmark = pytest.mark.integration
NEXT = HOUR + timedelta(hours=1)
DEAD = {"kafka_topic": "events.dlq.v1", "rejection_reason": "missing_field"}


@pytest.fixture
def lakehouse(storage_settings: StorageSettings) -> Iterator[Lakehouse]:
    opened = open_lakehouse(storage_settings)
    yield opened
    opened.engine.dispose()


def commits(schema_id: int) -> list[list[StampedRow]]:
    """Arrivals of four ticks; every row of a commit has the same stamp."""
    return [
        [
            engagement(0, minutes=1, user="u1"),
            engagement(1, minutes=2, user="u2"),
            engagement(2, minutes=70, user="u1"),
            engagement(3, event_id="far", occurred_at=HOUR - timedelta(days=7, minutes=1)),
            avro_download(4, schema_id, user="u1"),
            product(0, kafka_partition=2, minutes=20),
            product(1, kafka_partition=2, minutes=20, user="u2", body={"variant": "B"}),
            engagement(0, **DEAD, dlq_stage="edge"),
        ],
        [
            engagement(5, event_id="e0", minutes=3, user="another body than the first copy's"),
            engagement(6, event_id="twice", minutes=4, user="u3"),
            engagement(7, event_id="twice", minutes=4, user="u3"),
            engagement(8, event_id="far", minutes=4),
            engagement(9, minutes=1, user="u1"),
            engagement(10, minutes=30, user="u9"),
            engagement(11, event_id="bad", value=b"{"),
            json_download(0, kafka_partition=1, event_id="j0"),
            avro_download(12, schema_id, cut_bytes=3),
            avro_download(13, schema_id, user="u7"),
            engagement(14, event_id="recovered-0", redrive_of="events.dlq.v1/0/0"),
            engagement(1, **DEAD, dlq_stage="edge"),
            engagement(2, **DEAD, dlq_stage="consumer"),
        ],
        [
            engagement(15, event_id="e10", minutes=30, user="u9"),
            engagement(16, event_id="e0", minutes=75, user="u1"),
            engagement(17, minutes=31, user="u2", received_at=HOUR + timedelta(hours=5)),
        ],
        [
            engagement(18, event_id="e16", minutes=40, user="u4"),
            engagement(19, event_id="e9", minutes=1, user="u1"),
            engagement(20, minutes=80, user="u5"),
            json_download(1, kafka_partition=1, event_id="j1"),
            json_download(2, kafka_partition=1, event_id="j2", region="US"),
            product(2, kafka_partition=2, minutes=19),
            product(3, kafka_partition=2, minutes=21, user="u2", body={"variant": "B"}),
            product(4, kafka_partition=2, minutes=75),
        ],
    ]


def register_downloads(lakehouse: Lakehouse) -> int:
    """The id by which downloads in Avro name their schema."""
    registry = SchemaRegistry(PostgresRegistryStore(lakehouse.engine))
    register_own(registry, DOWNLOADS_TOPIC)
    return registry.look(lambda view: view.version("content-downloads-value", "latest").schema_id)


def tick(lakehouse: Lakehouse, world: World, rows: list[StampedRow], **options: Any) -> Outcome:
    """Lands the rows, has the sensor notice them, and publishes their hours."""
    world.land(*rows)
    hours = tuple(sorted({row.event_hour for row in rows}))
    return lakehouse.builder.publish(Window(hours), cause="arrival", run_id="run", **options)


def ledger(lakehouse: Lakehouse) -> list[tuple[Any, ...]]:
    with open_lake(lakehouse.settings) as lake:
        return lake.execute("select * exclude (published_at) from lake.operations.restatements order by all").fetchall()


def test_growing_hours_give_the_tables_and_restatements_that_whole_ones_give(
    lakehouse: Lakehouse, make_lakehouse: Callable[[], Lakehouse]
) -> None:
    """Copies on both sides of a cutoff and of the horizon, one stamp for a commit, late hours, rejects, Avro, a redrive, compaction."""
    twin = make_lakehouse()
    world, other = World(lakehouse.settings, lakehouse.engine), World(twin.settings, twin.engine)
    schema_id = register_downloads(lakehouse)
    assert register_downloads(twin) == schema_id
    for number, rows in enumerate(commits(schema_id)):
        grown, whole = tick(lakehouse, world, rows), tick(twin, other, rows, whole=True)
        assert (HOUR in grown.plan.cutoffs) == (number > 0)
        assert not whole.plan.cutoffs
        assert grown.publication is not None
        assert whole.publication is not None
        assert grown.publication.changes == whole.publication.changes
        DeltaTable(lakehouse.settings.bronze_uri).optimize.compact()
    assert lakehouse.everything() == twin.everything()
    assert ledger(lakehouse) == ledger(twin) != []
    assert len(lakehouse.rows("silver.redrives")) == 1
    assert [row[-1] for row in lakehouse.rows("silver.experiment_exposures")] == [2, 1, 2]
    assert {row[4] for row in lakehouse.rows("silver.quarantine")} == {
        "missing_field",
        "malformed_json",
        "malformed_avro",
    }
    report = world.verify()
    assert report.ok, report.failed
    [copy] = trace(lakehouse.settings, lakehouse.engine, "j0", "public", kafka=world.kafka).copies
    [cell] = [cell for cell in copy.gold if cell.table == "agg_hour_download_errors"]
    assert (cell.dimensions["region"], cell.dimensions["error_code"], cell.event_count) == ("EU", "CDN_TIMEOUT", 2)
    hours = tuple(sorted({row.event_hour for _, row in world.landed}))
    assert lakehouse.builder.publish(Window(hours), cause="code", run_id="whole").publication is None


def test_a_growing_build_is_published_once_and_its_hour_is_clean(lakehouse: Lakehouse) -> None:
    world = World(lakehouse.settings, lakehouse.engine)
    tick(lakehouse, world, [engagement(0), engagement(1, user="u2")])
    world.land(engagement(2), engagement(3, event_id="e1", user="u2"))
    plan = lakehouse.builder.plan(Window((HOUR,)), "run", grows_by="arrival")
    assert plan.cutoffs
    assert lakehouse.publish([HOUR]).publication is not None
    published = lakehouse.everything()
    again = lakehouse.publish([HOUR])
    assert (again.publication, again.plan.cutoffs) == (None, {})
    assert lakehouse.everything() == published


def test_hours_whose_publication_was_not_noted_to_its_end_are_built_whole(lakehouse: Lakehouse) -> None:
    """A run that dies between its commit and its note: the lake holds records that control.hours does not know to be published."""
    world, builder = World(lakehouse.settings, lakehouse.engine), lakehouse.builder
    tick(lakehouse, world, [engagement(0), engagement(1, user="u2")])
    world.land(engagement(2))
    died = builder.plan(Window((HOUR,)), "dies", grows_by="arrival")
    assert died.cutoffs
    builder._build(died)
    assert builder._promote(died, "arrival") is not None
    after = tick(lakehouse, world, [engagement(3, user="u3")])
    assert not after.plan.cutoffs
    assert tick(lakehouse, world, [engagement(4, user="u4")]).plan.cutoffs
    report = world.verify()
    assert report.ok, report.failed


def test_an_hour_grows_after_a_broken_build_and_is_built_whole_after_a_refused_one(lakehouse: Lakehouse) -> None:
    world = World(lakehouse.settings, lakehouse.engine)
    tick(lakehouse, world, [engagement(0), engagement(1, user="u2")])
    mark_failed(lakehouse.engine, [HOUR], "model int_published_records", "run", datetime.now(UTC))
    assert tick(lakehouse, world, [engagement(2)]).plan.cutoffs
    world.land(engagement(3, user="u3"))
    mark_failed(lakehouse.engine, [HOUR], "check events_rows_are_valid (key)", "run", datetime.now(UTC))
    assert not tick(lakehouse, world, [engagement(4)]).plan.cutoffs
    report = world.verify()
    assert report.ok, report.failed


@pytest.mark.parametrize(
    ("shift", "check"),
    [
        (timedelta(hours=-1), "assert_built_records_are_not_published"),
        (timedelta(hours=1), "assert_every_landed_record_has_one_outcome"),
    ],
    ids=["records read again", "records left out"],
)
def test_a_cutoff_that_is_wrong_fails_the_build(lakehouse: Lakehouse, shift: timedelta, check: str) -> None:
    world, builder = World(lakehouse.settings, lakehouse.engine), lakehouse.builder
    tick(lakehouse, world, [engagement(0), engagement(1, user="u2")])
    world.land(engagement(2))
    plan = builder.plan(Window((HOUR,)), "wrong", grows_by="arrival")
    cutoffs: dict[datetime, datetime] = {HOUR: plan.cutoffs[HOUR] + shift}
    with pytest.raises(AssertionError, match=check):
        builder._build(replace(plan, cutoffs=cutoffs))


PLANTED = {
    "user hours forget what is published": (
        "models/gold/fct_user_hours.sql",
        "arrived_count + published_count",
        "arrived_count",
        "assert_hours_count_every_event",
    ),
    "an hour counts every arrived user as a new one": (
        "models/gold/agg_hour_events.sql",
        "(published_count = 0)::bigint",
        "1",
        "assert_hours_count_every_event",
    ),
    "a day counts a user again who is known in another of its hours": (
        "models/gold/agg_day_events.sql",
        "and new_users.user_id = known.user_id",
        "and new_users.user_id = known.user_id || known.event_hour",
        "assert_growing_days_add_their_new_users",
    ),
    "downloads forget what is published": (
        "models/gold/agg_hour_download_errors.sql",
        'and {{ in_growing_hours("event_hour") }}',
        "and false",
        "assert_download_errors_add_up_to_hours",
    ),
    "exposures forget the published first one": (
        "models/silver/experiment_exposures.sql",
        "least(arrived.first_exposed_at, published.first_exposed_at)",
        "arrived.first_exposed_at",
        "assert_exposures_are_those_of_the_events",
    ),
    "windows count arrivals alone": (
        "models/gold/agg_5min_events.sql",
        "semi join touched",
        "anti join touched",
        "assert_five_minute_windows_add_up_to_hours",
    ),
    "copies of the hour's own events are not looked for": (
        "models/silver/int_horizon_copies.sql",
        'not ({{ in_build("copies.event_hour", "copies.ingested_at") }})',
        'not ({{ in_window("copies.event_hour") }})',
        "assert_event_ids_are_unique_within_the_horizon",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_fails_the_build(lakehouse: Lakehouse, tmp_path: Path, bug: str) -> None:
    file, right, wrong, check = PLANTED[bug]
    world, builder = World(lakehouse.settings, lakehouse.engine), lakehouse.builder
    tick(
        lakehouse,
        world,
        [
            engagement(0),
            engagement(1, user="u2", minutes=20),
            engagement(5, user="u3", minutes=70),
            json_download(6),
            product(8),
        ],
    )
    world.land(
        engagement(2),
        engagement(3, event_id="e0"),
        engagement(4, user="u3", minutes=20),
        json_download(7),
        product(9, minutes=30),
    )
    plan = builder.plan(Window((HOUR,)), "bug", grows_by="arrival")
    assert plan.cutoffs
    project = tmp_path / "project"
    shutil.copytree(DBT_DIR, project, ignore=shutil.ignore_patterns("target", "logs"))
    text = (project / file).read_text()
    assert text.count(right) == 1
    (project / file).write_text(text.replace(right, wrong))
    planted = Builder(
        lakehouse.settings,
        lakehouse.engine,
        lakehouse.specs,
        DbtInProcess(lakehouse.settings, project=project),
        code_version="test",
    )
    with pytest.raises(AssertionError, match=check):
        planted._build(plan)
