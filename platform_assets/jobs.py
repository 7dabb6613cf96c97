"""Jobs: the one that sensors request, the one that people launch for a range of days, and the housekeeping ones."""

import dagster as dg

from platform_assets.assets.warehouse import publish_hours
from platform_assets.partitions import DAYS

WAREHOUSE = dg.AssetSelection.assets(publish_hours)

publish_dirty_hours = dg.define_asset_job(
    "publish_dirty_hours",
    selection=WAREHOUSE,
    partitions_def=DAYS,
    description="Requested by the arrivals and late sensors: builds and publishes exactly the dirty hours.",
)

replay_days = dg.define_asset_job(
    "replay_days",
    selection=WAREHOUSE,
    partitions_def=DAYS,
    description="Requested by the replay sensor: rebuilds days that somebody asked for, though nothing arrived.",
)

rebuild_days = dg.define_asset_job(
    "rebuild_days",
    selection=WAREHOUSE,
    partitions_def=DAYS,
    description="For people and schedules: rebuilds a range of days from bronze. Unchanged code and input publish nothing.",
)
