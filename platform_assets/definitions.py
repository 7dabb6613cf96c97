"""The code location: everything Dagster shows, put together. Loads without a stack, a network or an environment."""

import dagster as dg

from platform_assets import jobs, schedules
from platform_assets.assets import (
    bronze,
    bronze_compaction,
    bronze_retention,
    hot_store,
    live_retention,
    live_windows,
    maintenance,
    verification,
    warehouse,
)
from platform_assets.resources.definitions import make_resources
from platform_assets.sensors import dirty_hours, docs, replay_requests, stream_health
from platform_assets.sensors import live_windows as live_windows_sensors

defs = dg.Definitions(
    assets=[
        bronze.bronze_events,
        warehouse.publish_hours,
        maintenance.lake_retention,
        maintenance.dbt_docs,
        verification.verification,
        hot_store.hot_store,
        bronze_compaction.bronze_compaction,
        bronze_retention.bronze_retention,
        live_retention.live_retention,
    ],
    jobs=[
        jobs.publish_dirty_hours,
        jobs.replay_days,
        jobs.rebuild_days,
        jobs.compare_live_windows,
        schedules.retain_publications,
        schedules.retain_hot_events,
        schedules.compact_bronze,
        schedules.retain_bronze_files,
        schedules.retain_live_minutes,
        schedules.verify_invariants,
    ],
    schedules=[
        schedules.nightly_reconciliation,
        schedules.hourly_retention,
        schedules.hourly_hot_store,
        schedules.hourly_compaction,
        schedules.hourly_live_retention,
        schedules.daily_bronze_retention,
        schedules.daily_verification,
    ],
    asset_checks=[live_windows.live_minutes_equal_gold],
    sensors=[
        dirty_hours.bronze_arrivals_sensor,
        dirty_hours.late_arrivals_sensor,
        replay_requests.replay_requests_sensor,
        docs.dbt_project_sensor,
        stream_health.stream_health_sensor,
        live_windows_sensors.live_windows_sensor,
    ],
    resources=make_resources(),
    executor=dg.in_process_executor,
)
