"""Replays in place: days that somebody asked for are rebuilt though nothing arrived, once in effect, whatever is cancelled or dies."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from platform_assets.assets.warehouse import PUBLISHED_TAG
from platform_assets.definitions import defs
from platform_assets.reconciliation import Reconciliation
from platform_assets.replay_input import find_days
from platform_assets.resources.warehouse import WarehouseResource
from platform_assets.sensors.dirty_hours import LANE_TAG
from platform_assets.sensors.replay_requests import replay_requests_sensor
from platform_assets.windows import Window, hours_of_days
from storage import publications
from storage.control import make_engine, migrate, replays
from storage.control.hours import list_dirty
from storage.control.replays import MAX_ATTEMPTS, PlannedDay, ReplayConflictError, ReplayRange
from storage.control.tables import alerts, replay_days
from storage.lake import open_lake
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import engagement_row
from tests.fixtures.lakehouse import Lakehouse, open_lakehouse
from tests.fixtures.pool_runs import pool_run
from tests.fixtures.revisions import downgrade_below

pytestmark = pytest.mark.integration
T0 = datetime(2026, 1, 5, 10, tzinfo=UTC)
FAR = T0 + timedelta(days=60)
DAY = timedelta(days=1)
RANGE = ReplayRange(T0 - 10 * timedelta(hours=1), FAR + DAY)


@pytest.fixture
def lakehouse(storage_settings: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lakehouse]:
    for name in ("database_url", "bronze_uri", "lake_uri", "builds_dir", "extensions_dir"):
        monkeypatch.setenv(f"TIDEMARK_STORAGE_{name.upper()}", str(getattr(storage_settings, name)))
    opened = open_lakehouse(storage_settings, checks=False)
    yield opened
    opened.engine.dispose()


@pytest.fixture
def engine(storage_settings: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    """The control tables alone."""
    monkeypatch.setenv("TIDEMARK_STORAGE_DATABASE_URL", storage_settings.database_url)
    made = make_engine(storage_settings)
    yield made
    made.dispose()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def tick(instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    context = dg.build_sensor_context(instance=instance, definitions=defs)
    result = replay_requests_sensor(context, warehouse=WarehouseResource())
    assert isinstance(result, dg.SensorResult)
    return list(result.run_requests or [])


def execute(instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    job = defs.resolve_job_def("replay_days")
    return job.execute_in_process(instance=instance, run_config=request.run_config, tags=dict(request.tags))


def hours_in(request: dg.RunRequest) -> list[str]:
    found: dict[str, Any] = request.run_config["ops"]["publish_hours"]["config"]
    assert found["cause"] == "replay"
    return found["hours"]


def open_alerts(lakehouse: Lakehouse) -> list[Any]:
    with lakehouse.engine.connect() as connection:
        return list(connection.execute(sa.select(alerts).where(alerts.c.resolved_at.is_(None))))


def compare(lakehouse: Lakehouse, windows: list[Window]) -> None:
    """What a run that compares first does, but for publishing."""
    run = Reconciliation(lakehouse.settings, lakehouse.engine, "night", logging.getLogger(__name__))
    for window in windows:
        run.compare(lakehouse.builder, window)


def days_of(*moments: datetime) -> list[PlannedDay]:
    return [PlannedDay(moment.date(), (moment,), 1) for moment in moments]


@pytest.mark.feature("S1-11", "S1-F2", "S4-16", "K4")
def test_a_replay_rebuilds_what_was_damaged_leaves_the_rest_and_resumes_where_it_was_cancelled(
    lakehouse: Lakehouse, instance: dg.DagsterInstance
) -> None:
    lakehouse.land([engagement_row(0, T0), engagement_row(1, T0 + timedelta(hours=1)), engagement_row(2, FAR)])
    lakehouse.note_arrivals()
    lakehouse.publish([T0, T0 + timedelta(hours=1), FAR])
    good = lakehouse.everything()
    with open_lake(lakehouse.settings, read_only=False) as lake:
        lake.execute("update lake.gold.agg_hour_events set event_count = 99 where event_date = date '2026-01-05'")
        lake.execute("delete from lake.silver.events where kafka_offset = 1")
    assert lakehouse.everything() != good
    compare(lakehouse, [Window((T0, T0 + timedelta(hours=1)))])
    (alert,) = open_alerts(lakehouse)
    assert (alert.kind, alert.subject) == ("reconciliation_difference", "2026-01-05")
    assert {item["table"] for item in alert.details["differences"]} == {"silver.events", "gold.agg_hour_events"}

    days = find_days(lakehouse.settings, lakehouse.engine, RANGE)
    assert [(item.day, item.row_count) for item in days] == [(T0.date(), 2), (FAR.date(), 1)]
    replay_id, is_new = replays.request(lakehouse.engine, RANGE, days)
    assert is_new
    assert replays.request(lakehouse.engine, RANGE, days) == (replay_id, False)

    first, second = tick(instance)
    assert hours_in(first) == ["2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z"]
    assert int(first.tags["dagster/priority"]) < 0
    assert execute(instance, first).success
    newest = publications.latest(lakehouse.engine)
    assert newest is not None
    assert newest.cause == "replay"
    assert {table for table, change in newest.changes.items() if any(change.values())} == {
        "silver.events",
        "gold.agg_hour_events",
    }
    assert lakehouse.everything() == good

    # The daemon died after it had asked for both runs, and asks for the first again: what is finished is not rebuilt.
    builds = sorted(lakehouse.settings.builds_dir.iterdir())
    again = execute(instance, first)
    run = instance.get_run_by_id(again.run_id)
    assert again.success
    assert run is not None
    assert run.tags[PUBLISHED_TAG] == "nothing"
    assert sorted(lakehouse.settings.builds_dir.iterdir()) == builds

    assert replays.cancel(lakehouse.engine, replay_id)
    assert not replays.cancel(lakehouse.engine, replay_id)
    assert tick(instance) == []
    assert execute(instance, second).success, "a run that begins after the cancellation builds nothing"
    found = replays.find(lakehouse.engine, replay_id)
    assert found is not None
    assert (found.state, [day.day for day in found.open_days]) == ("cancelled", [FAR.date()])

    assert replays.resume(lakehouse.engine, replay_id)
    (rest,) = tick(instance)
    assert hours_in(rest) == ["2026-03-06T10:00:00Z"]
    assert execute(instance, rest).success
    found = replays.find(lakehouse.engine, replay_id)
    assert found is not None
    assert (found.state, found.publication_ids) == ("done", (newest.publication_id,))
    assert publications.latest(lakehouse.engine) == newest, "unchanged code and input publish nothing"
    day = hours_of_days(T0.date(), T0.date())
    compare(lakehouse, [Window(day[:12])])
    assert open_alerts(lakehouse) == [alert], "half a day is equal"
    compare(lakehouse, [Window(day[:12]), Window(day[12:])])
    assert open_alerts(lakehouse) == []
    assert lakehouse.everything() == good
    assert tick(instance) == []


@pytest.mark.feature("S1-11", "S1-F2")
def test_a_day_with_many_records_is_rebuilt_in_parts_each_finished_by_itself(
    lakehouse: Lakehouse, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Regression: it was one build, which held the only place for builds as long as it took, and was killed after an hour.
    monkeypatch.setenv("TIDEMARK_PLATFORM_MAX_ROWS_PER_LATE_RUN", "1000")
    hours = [T0 + timedelta(hours=index) for index in range(2)]
    lakehouse.land([engagement_row(index, hours[index % 2], app_id=f"app-{index % 2}") for index in range(1_200)])
    lakehouse.note_arrivals()
    lakehouse.publish(hours)
    good = lakehouse.everything()
    with open_lake(lakehouse.settings, read_only=False) as lake:
        lake.execute("update lake.gold.agg_hour_events set event_count = 99")
        lake.execute("update lake.gold.agg_day_events set event_count = 98")

    days = find_days(lakehouse.settings, lakehouse.engine, RANGE, max_rows=1000)
    assert [(item.day, item.hours, item.row_count) for item in days] == [(T0.date(), (hour,), 600) for hour in hours]
    one_app = replace(RANGE, app_id="app-1")
    (narrow,) = find_days(lakehouse.settings, lakehouse.engine, one_app, max_rows=1000)
    assert (narrow.hours, narrow.row_count) == ((hours[1],), 600), "its hours are rebuilt whole"
    replay_id, _ = replays.request(lakehouse.engine, RANGE, days)
    requests = tick(instance)
    assert [hours_in(request) for request in requests] == [[f"{hour:%Y-%m-%dT%H:%M:%SZ}"] for hour in hours]
    assert execute(instance, requests[0]).success
    newest = publications.latest(lakehouse.engine)
    assert execute(instance, requests[0]).success, "asked for again after a daemon died, it builds nothing"
    assert publications.latest(lakehouse.engine) == newest
    found = replays.find(lakehouse.engine, replay_id)
    assert found is not None
    assert [(part.hours, part.attempts) for part in found.open_days] == [((hours[1],), 0)]
    assert found.day_counts == (0, 1)
    replays.fail(lakehouse.engine, replay_id, [hours[1]], "check x", datetime.now(UTC))
    assert tick(instance) == [], "a part waits by itself"
    assert execute(instance, requests[1]).success
    found = replays.find(lakehouse.engine, replay_id)
    assert found is not None
    assert (found.state, found.day_counts, len(found.publication_ids)) == ("done", (1, 1), 2)
    assert lakehouse.everything() == good


@pytest.mark.feature("S1-11")
def test_records_that_no_sensor_has_told_of_yet_are_no_difference_to_alert_about(lakehouse: Lakehouse) -> None:
    # Regression: the comparison reads the newest bronze, and the alert that followed was never resolved.
    lakehouse.land([engagement_row(0, T0)])
    lakehouse.note_arrivals()
    lakehouse.publish([T0])
    lakehouse.land([engagement_row(1, T0)])
    compare(lakehouse, [Window((T0,))])
    assert open_alerts(lakehouse) == []
    assert [item.hour for item in list_dirty(lakehouse.engine)] == [T0], "it is told of now"


def test_a_lane_waits_for_its_runs_to_publish_and_not_for_their_reports(
    engine: sa.Engine, instance: dg.DagsterInstance
) -> None:
    replay_id, _ = replays.request(engine, RANGE, days_of(T0))
    assert len(tick(instance)) == 1
    tags = {LANE_TAG: "replay", "tidemark/replay": str(replay_id)}
    run = instance.create_run_for_job(
        defs.resolve_job_def("replay_days"), status=dg.DagsterRunStatus.STARTED, tags=tags
    )
    assert tick(instance) == []
    instance.add_run_tags(run.run_id, {PUBLISHED_TAG: "nothing"})
    assert len(tick(instance)) == 1, "while a run reports, the next one is asked for"


def test_queued_runs_of_a_cancelled_replay_leave_the_queue(engine: sa.Engine) -> None:
    queued = {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"}
    with dg.instance_for_test(overrides={"run_coordinator": queued}) as instance:
        replay_id, _ = replays.request(engine, RANGE, days_of(T0))
        tags = {LANE_TAG: "replay", "tidemark/replay": str(replay_id)}
        run = instance.add_run(pool_run("replay_days", dg.DagsterRunStatus.QUEUED, -5, **tags))
        assert tick(instance) == []
        replays.cancel(engine, replay_id)
        for _ in range(2):
            assert tick(instance) == []
            found = instance.get_run_by_id(run.run_id)
            assert found is not None
            assert found.status == dg.DagsterRunStatus.CANCELED


def test_a_day_that_fails_waits_and_is_given_up_in_the_end(engine: sa.Engine, instance: dg.DagsterInstance) -> None:
    now = datetime.now(UTC)
    replay_id, _ = replays.request(engine, RANGE, days_of(T0, FAR))
    for attempt in range(MAX_ATTEMPTS):
        assert replays.begin(engine, replay_id, [T0], "run") == {T0}
        replays.fail(engine, replay_id, [T0], "check x", now)
        found = replays.find(engine, replay_id)
        assert found is not None
        assert found.days[0].attempts == attempt + 1
        assert found.days[0].next_attempt_at is not None
        assert found.days[0].next_attempt_at > now
    assert found.state == "running", "another day is left"
    assert [hours_in(request) for request in tick(instance)] == [["2026-03-06T10:00:00Z"]]
    replays.finish(engine, replay_id, [FAR], publication_id=None, bronze_version=1, run_id="run")
    found = replays.find(engine, replay_id)
    assert found is not None
    assert (found.state, [day.blocked_by for day in found.open_days]) == ("failed", ["check x"])
    assert replays.begin(engine, replay_id, [T0, FAR], "run") == set(), "a replay that is over begins nothing"
    assert replays.resume(engine, replay_id)
    assert [hours_in(request) for request in tick(instance)] == [["2026-01-05T10:00:00Z"]]
    assert not replays.resume(engine, replay_id), "it runs already"


def test_a_run_that_dies_on_the_last_attempt_ends_the_replay(engine: sa.Engine, instance: dg.DagsterInstance) -> None:
    replay_id, _ = replays.request(engine, RANGE, days_of(T0))
    with engine.begin() as connection:
        connection.execute(sa.update(replay_days).values(attempts=MAX_ATTEMPTS))
    assert tick(instance) == []
    found = replays.find(engine, replay_id)
    assert found is not None
    assert found.state == "failed"


def test_a_run_over_a_year_of_hours_can_be_noted(engine: sa.Engine) -> None:
    # Regression: as a list of pairs they were too deep for PostgreSQL, in every attempt, and the replay never ended.
    hours = hours_of_days(date(2025, 1, 1), date(2025, 12, 31))
    days = [PlannedDay(hour.date(), hours[index : index + 24], 1) for index, hour in enumerate(hours) if not hour.hour]
    replay_id, _ = replays.request(engine, RANGE, days)
    assert replays.begin(engine, replay_id, hours, "run") == set(hours)
    replays.fail(engine, replay_id, hours, "check x", datetime.now(UTC))
    replays.finish(engine, replay_id, hours, publication_id=None, bronze_version=1, run_id="run")
    found = replays.find(engine, replay_id)
    assert found is not None
    assert (found.state, found.day_counts) == ("done", (365, 365))


def test_two_active_replays_of_one_range_are_refused_when_one_is_resumed(engine: sa.Engine) -> None:
    first, _ = replays.request(engine, RANGE, days_of(T0))
    replays.cancel(engine, first)
    second, is_new = replays.request(engine, RANGE, days_of(T0))
    assert is_new
    with pytest.raises(ReplayConflictError, match="Cancel that one first"):
        replays.resume(engine, first)
    assert [item.replay_id for item in replays.listing(engine)] == [second, first]


def test_the_revision_that_cuts_days_goes_both_ways(engine: sa.Engine, storage_settings: StorageSettings) -> None:
    hour = timedelta(hours=1)
    parts = [PlannedDay(T0.date(), (T0, T0 + hour), 7), PlannedDay(T0.date(), (T0 + 2 * hour,), 8), *days_of(FAR)]
    replay_id, _ = replays.request(engine, RANGE, parts)
    replays.finish(engine, replay_id, [T0, FAR], publication_id=None, bronze_version=1, run_id="run")
    downgrade_below(storage_settings, "parts_of_days")
    engine.dispose()
    migrate(storage_settings)
    found = replays.find(engine, replay_id)
    assert found is not None
    whole, other = found.days
    assert (whole.hours, whole.row_count, whole.finished_at) == ((T0, T0 + hour, T0 + 2 * hour), 15, None)
    assert (other.hours, other.finished_at is None) == ((FAR,), False)


@pytest.mark.feature("S1-F2")
def test_a_filter_chooses_the_hours_that_hold_such_records(lakehouse: Lakehouse) -> None:
    hour = timedelta(hours=1)
    lakehouse.land(
        [
            engagement_row(0, T0, app_id="shop"),
            engagement_row(1, T0 + hour, event_type="like", app_id="shop"),
            engagement_row(2, T0 + 2 * hour, event_type="like"),
        ]
    )

    def hours(app_id: str = "", event_type: str = "") -> list[datetime]:
        wanted = ReplayRange(T0, T0 + 3 * hour, app_id, event_type)
        return [item for day in find_days(lakehouse.settings, lakehouse.engine, wanted) for item in day.hours]

    assert hours() == [T0, T0 + hour, T0 + 2 * hour]
    assert hours(app_id="shop") == [T0, T0 + hour]
    assert hours(event_type="like") == [T0 + hour, T0 + 2 * hour]
    assert hours("shop", "like") == [T0 + hour]
    assert hours(app_id="nobody") == []
    assert date(2026, 1, 5) == T0.date()
