"""Schedules: the nightly reconciliation of yesterday, housekeeping of every store, and the daily run of the checker."""

from typing import Any

import dagster as dg

from platform_assets.assets.bronze_compaction import COMPACTION, due_dates
from platform_assets.cutting import cut_hours
from platform_assets.jobs import rebuild_days
from platform_assets.resources.spark import SparkResource
from platform_assets.resources.warehouse import WarehouseResource
from platform_assets.windows import HOUR_FORMAT, Window, hours_of_days

retain_publications = dg.define_asset_job(
    "retain_publications",
    selection=dg.AssetSelection.assets(["operations", "lake_retention"]),
    description="Expires unkept publications and cleans their files.",
)

retain_hot_events = dg.define_asset_job(
    "retain_hot_events",
    selection=dg.AssetSelection.assets(["operations", "hot_store"]),
    description="Drops the hot store's expired days and compares the rest with bronze.",
)

compact_bronze = dg.define_asset_job(
    "compact_bronze",
    selection=dg.AssetSelection.assets(COMPACTION),
    description="Rewrites closed dates of bronze as few files.",
)

retain_bronze_files = dg.define_asset_job(
    "retain_bronze_files",
    selection=dg.AssetSelection.assets(["operations", "bronze_retention"]),
    description="Deletes bronze's dead files.",
)

retain_live_minutes = dg.define_asset_job(
    "retain_live_minutes",
    selection=dg.AssetSelection.assets(["operations", "live_retention"]),
    description="Removes live minutes that gold has long answered for.",
)

verify_invariants = dg.define_asset_job(
    "verify_invariants",
    selection=dg.AssetSelection.assets(["operations", "verification"]),
    description="Runs the conservation checker.",
)


@dg.schedule(
    job=rebuild_days,
    cron_schedule="30 1 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Recomputes yesterday from bronze, compares it cell by cell with what is published, then promotes a difference.",
)
def nightly_reconciliation(
    context: dg.ScheduleEvaluationContext, warehouse: WarehouseResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """A bounded backfill: one day, compared before it is promoted. A day with many records is several runs, between which others build."""
    from datetime import timedelta

    from storage.bronze import latest_version

    if latest_version(warehouse.storage) is None:
        return dg.SkipReason("There is no bronze table yet.")
    yesterday = (context.scheduled_execution_time - timedelta(days=1)).date()
    hours = hours_of_days(yesterday, yesterday)
    # It is built twice, to be compared and to be published.
    max_rows = warehouse.orchestration.max_rows_per_late_run // 2
    windows = cut_hours(warehouse.storage, warehouse.engine, hours, max_rows, may_grow=False)
    return [_compare(window, is_whole=len(windows) == 1) for window in windows]


def _compare(window: Window, *, is_whole: bool) -> dg.RunRequest:
    day = f"{window.start:%Y-%m-%d}"
    config: dict[str, Any] = {"cause": "replay", "compare_first": True}
    if not is_whole:
        config["hours"] = [f"{hour:{HOUR_FORMAT}}" for hour in window.hours]
    return dg.RunRequest(
        run_key=day if is_whole else f"{window.start:%Y-%m-%dT%H}",
        partition_key=day,
        run_config={"ops": {"publish_hours": {"config": config}}},
        tags={"tidemark/lane": "reconciliation", "dagster/priority": "0"},
    )


hourly_retention = dg.ScheduleDefinition(
    name="hourly_retention",
    job=retain_publications,
    cron_schedule="20 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

hourly_hot_store = dg.ScheduleDefinition(
    name="hourly_hot_store",
    job=retain_hot_events,
    cron_schedule="40 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

daily_verification = dg.ScheduleDefinition(
    name="daily_verification",
    job=verify_invariants,
    cron_schedule="0 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


@dg.schedule(
    job=compact_bronze,
    cron_schedule="50 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Requests a compaction when a closed date has more than twice the files that it would fill.",
)
def hourly_compaction(
    context: dg.ScheduleEvaluationContext, warehouse: WarehouseResource, spark: SparkResource
) -> dg.RunRequest | dg.SkipReason:
    """Behind everything else: a run of its own pool with the lowest priority, and none for nothing."""
    dates = due_dates(warehouse, spark)
    if not dates:
        return dg.SkipReason("No closed date has many more files than it would fill.")
    return dg.RunRequest(
        run_key=f"{context.scheduled_execution_time:%Y-%m-%dT%H}",
        tags={"tidemark/lane": "compaction", "dagster/priority": "-10"},
    )


daily_bronze_retention = dg.ScheduleDefinition(
    name="daily_bronze_retention",
    job=retain_bronze_files,
    cron_schedule="15 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    tags={"dagster/priority": "-10"},
)

hourly_live_retention = dg.ScheduleDefinition(
    name="hourly_live_retention",
    job=retain_live_minutes,
    cron_schedule="45 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
