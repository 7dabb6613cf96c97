"""Schedules: the nightly reconciliation of yesterday, hourly housekeeping of lake and hot store, and the daily run of the checker."""

import dagster as dg

from platform_assets.jobs import rebuild_days

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
def nightly_reconciliation(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """A bounded backfill: one day, compared before it is promoted."""
    from datetime import timedelta

    yesterday = f"{context.scheduled_execution_time - timedelta(days=1):%Y-%m-%d}"
    config = {"ops": {"publish_hours": {"config": {"cause": "replay", "compare_first": True}}}}
    return dg.RunRequest(
        run_key=yesterday,
        partition_key=yesterday,
        run_config=config,
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
