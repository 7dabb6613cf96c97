"""Jobs: the one that sensors request, the one that people launch for a range of days, and the housekeeping ones."""

import dagster as dg

from platform_assets.assets.live_windows import live_minutes_equal_gold
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

compare_live_windows = dg.define_asset_job(
    "compare_live_windows",
    selection=dg.AssetSelection.checks(live_minutes_equal_gold),
    description="Requested by live_windows_sensor: compares closed live minutes with the published hours.",
)
