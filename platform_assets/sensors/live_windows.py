"""Watches published hours for the live windows: gold answers for them from then on, and they are compared once their minutes are closed."""

from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from platform_assets.assets.live_windows import due_hours
from platform_assets.jobs import compare_live_windows
from platform_assets.resources.warehouse import WarehouseResource
from storage.live.hours import mark_superseded


@dg.sensor(
    job=compare_live_windows,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Published hours: gold answers for them instead of live minutes; requests one comparison for those that are closed.",
)
def live_windows_sensor(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult:
    """At most one comparison at a time; what is due meanwhile waits for the next."""
    mark_superseded(warehouse.engine, datetime.now(UTC))
    due = due_hours(warehouse)
    if not due:
        return dg.SensorResult(skip_reason="No hour is to be compared.", cursor=context.cursor)
    running = context.instance.get_runs(
        dg.RunsFilter(job_name=compare_live_windows.name, statuses=NOT_FINISHED_STATUSES)
    )
    if running:
        reason = f"{len(due)} hours wait for comparison {running[0].run_id}."
        return dg.SensorResult(skip_reason=reason, cursor=context.cursor)
    return dg.SensorResult(
        run_requests=[dg.RunRequest(tags={"tidemark/lane": "live", "dagster/priority": "1"})], cursor=context.cursor
    )
