"""Sensors over the dirty-hours table: arrivals (the running and the previous hour) and late (everything older).

The Delta cursor is kept beside the hours it feeds, in one transaction; the Dagster cursor only shows it. A lane requests nothing while
a run of it has still to publish, so what stays dirty is asked for again; while a run that has published reports what it built, the next
one is requested already, and waits for its turn in the pool of builds. Nor does it while something has stood behind it for too long.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from platform_assets.arrivals import cause_of, due_hours, feed_new_commits
from platform_assets.assets.warehouse import PUBLISHED_TAG
from platform_assets.cutting import weigh_hours
from platform_assets.dbt_translator import BRONZE_EVENTS
from platform_assets.jobs import publish_dirty_hours
from platform_assets.partitions import is_partition
from platform_assets.resources.warehouse import WarehouseResource
from platform_assets.turns import read_turns, who_is_due
from platform_assets.windows import Window, apart, cut_by_rows, is_current, near_day_ranges
from storage.control.hours import DirtyHour

LANE_TAG = "tidemark/lane"
# Dagster's daemon looks every five seconds, give or take some tenths: a pause of as many seconds would miss every other look.
ARRIVALS_SECONDS = 4
INTERVAL_SECONDS = 5
ARRIVALS, LATE = "arrivals", "late"
PRIORITIES = {ARRIVALS: "10", LATE: "5"}


@dg.sensor(
    job=publish_dirty_hours,
    minimum_interval_seconds=ARRIVALS_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="New bronze commits: notes the hours they touched and requests one run for the dirty ones of this and the last hour.",
)
def bronze_arrivals_sensor(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult:
    """One run for all due hours of the arrivals lane, and one for each that failed again and again."""
    now = datetime.now(UTC)
    arrival = feed_new_commits(warehouse.storage, warehouse.engine, now)
    observations = []
    if arrival.version is not None and context.cursor != str(arrival.version):
        observations.append(_observe_bronze(warehouse, arrival.version))
    hours = [hour for hour in due_hours(warehouse.engine, now) if is_current(hour.hour, now)]
    return _request(context, ARRIVALS, hours, lambda: _arrival_windows(hours), arrival.version, observations)


@dg.sensor(
    job=publish_dirty_hours,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Older dirty hours (late events, imports, failed builds): requests runs over their days.",
)
def late_arrivals_sensor(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult:
    """Runs over days near each other, cut so that none holds the builder for long."""
    now = datetime.now(UTC)
    arrival = feed_new_commits(warehouse.storage, warehouse.engine, now)
    hours = [hour for hour in due_hours(warehouse.engine, now) if not is_current(hour.hour, now)]
    at_once = warehouse.orchestration.max_runs_per_tick
    return _request(
        context, LATE, hours, lambda: plan_late_windows(warehouse, hours)[:at_once], arrival.version, observations=[]
    )


def _arrival_windows(hours: list[DirtyHour]) -> list[Window]:
    together, alone = apart({item.hour: item.attempts for item in hours})
    return [*([Window(tuple(together))] if together else []), *alone]


def plan_late_windows(warehouse: WarehouseResource, hours: list[DirtyHour]) -> list[Window]:
    """Windows of days near each other within the row limit; hours that failed again and again are alone.

    What has waited longest comes first: a tick asks for some of them only, and hours that late events come to all the time would else be
    the first ones every time.
    """
    limit = warehouse.orchestration.max_rows_per_late_run
    together, alone = apart({item.hour: item.attempts for item in hours})
    rows = weigh_hours(warehouse.storage, warehouse.engine, together, limit, may_grow=True)
    cut = (window for group in near_day_ranges(together) for window in cut_by_rows(group.hours, rows, limit))
    touched = {item.hour: item.touched_at for item in hours}
    return sorted([*cut, *alone], key=lambda window: min(touched[hour] for hour in window.hours))


def _request(
    context: dg.SensorEvaluationContext,
    lane: str,
    hours: list[DirtyHour],
    plan: Callable[[], Iterable[Window]],
    version: int | None,
    observations: list[dg.AssetObservation],
) -> dg.SensorResult:
    cursor = None if version is None else str(version)
    if not hours:
        return dg.SensorResult(skip_reason="No dirty hour is due.", cursor=cursor, asset_events=observations)
    unfinished = context.instance.get_runs(dg.RunsFilter(tags={LANE_TAG: lane}, statuses=NOT_FINISHED_STATUSES))
    building = [run for run in unfinished if PUBLISHED_TAG not in run.tags]
    if building:
        reason = f"{len(hours)} dirty hours wait for run {building[0].run_id} of this lane."
        return dg.SensorResult(skip_reason=reason, cursor=cursor, asset_events=observations)
    due = who_is_due(read_turns(context.instance), int(PRIORITIES[lane]))
    if due is not None:
        reason = f"{len(hours)} dirty hours let run {due.run_id} go first, which waits for {due.waited_seconds:.0f} s."
        return dg.SensorResult(skip_reason=reason, cursor=cursor, asset_events=observations)
    by_hour = {item.hour: item for item in hours}
    requests = [_run_request(lane, window, cause_of([by_hour[hour] for hour in window.hours])) for window in plan()]
    return dg.SensorResult(run_requests=requests, cursor=cursor, asset_events=observations)


def _run_request(lane: str, window: Window, cause: str) -> dg.RunRequest:
    """A run for exactly these hours.

    Several days go in without a partition range: Dagster would plan one event per day and asset before the run may start, each on a
    connection of its own (330 days of ten assets: 150 s measured). The run reports every day that it built instead. A key that Dagster
    does not know would fail the tick, with all that it asks for.
    """
    hours = [f"{hour:%Y-%m-%dT%H:%M:%SZ}" for hour in window.hours]
    config = {"ops": {"publish_hours": {"config": {"hours": hours, "cause": cause}}}}
    first, last = f"{window.days[0]:%Y-%m-%d}", f"{window.days[-1]:%Y-%m-%d}"
    tags = {LANE_TAG: lane, "tidemark/cause": cause, "dagster/priority": PRIORITIES[lane]}
    if first == last and is_partition(window.days[0]):
        return dg.RunRequest(partition_key=first, run_config=config, tags=tags)
    return dg.RunRequest(run_config=config, tags=tags | {"tidemark/days": f"{first}..{last}"})


def _observe_bronze(warehouse: WarehouseResource, version: int) -> dg.AssetObservation:
    from storage.bronze import row_counts_by_date

    rows = sum(row_counts_by_date(warehouse.storage, version).values())
    return dg.AssetObservation(BRONZE_EVENTS, metadata={"dagster/row_count": rows, "delta_version": version})
