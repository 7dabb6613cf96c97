"""The code location: everything Dagster shows, put together. Loads without a stack, a network or an environment."""

import dagster as dg

from platform_assets import jobs, schedules
from platform_assets.assets import bronze, maintenance, verification, warehouse
from platform_assets.resources.definitions import make_resources
from platform_assets.sensors import dirty_hours, docs, replay_requests, stream_health

defs = dg.Definitions(
    assets=[
        bronze.bronze_events,
        warehouse.publish_hours,
        maintenance.lake_retention,
        maintenance.dbt_docs,
        verification.verification,
    ],
    jobs=[
        jobs.publish_dirty_hours,
        jobs.replay_days,
        jobs.rebuild_days,
        schedules.retain_publications,
        schedules.verify_invariants,
    ],
    schedules=[schedules.nightly_reconciliation, schedules.hourly_retention, schedules.daily_verification],
    sensors=[
        dirty_hours.bronze_arrivals_sensor,
        dirty_hours.late_arrivals_sensor,
        replay_requests.replay_requests_sensor,
        docs.dbt_project_sensor,
        stream_health.stream_health_sensor,
    ],
    resources=make_resources(),
    executor=dg.in_process_executor,
)
