"""The hot store's housekeeping: days that are too old are dropped, what is left is compared with bronze.

The work is in `storage.hot_store`.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from platform_assets.assets.housekeeping import Housekeeping
from platform_assets.dbt_translator import OWNERS
from platform_assets.resources.warehouse import WarehouseResource

HOT_STORE = dg.AssetKey(["operations", "hot_store"])
CHECK = "hot_store_equals_bronze"


@dg.asset(
    key=HOT_STORE,
    deps=[dg.AssetKey(["bronze", "events"])],
    group_name="operations",
    owners=OWNERS,
    kinds={"postgres"},
    tags={"layer": "operations", "cadence": "hourly"},
    check_specs=[
        dg.AssetCheckSpec(
            CHECK,
            asset=HOT_STORE,
            description="Every good live event of the kept days that the group has passed is in the hot store once, and nothing else.",
        )
    ],
    description="Live events of the last days. A pass drops the days that are no longer kept, and compares the rest with bronze. "
    "One materialisation per pass.",
)
def hot_store(context: dg.AssetExecutionContext, config: Housekeeping, warehouse: WarehouseResource) -> Iterator[Any]:
    """Tells what it would drop before it drops it; the check fails with the first keys that differ."""
    from storage.hot_store.events import first_kept_day
    from storage.hot_store.group_offsets import GroupOffsets
    from storage.hot_store.opening import open_hot_store
    from storage.hot_store.reconciliation import reconcile

    settings, storage = warehouse.hot_store, warehouse.storage
    store = open_hot_store(settings, storage, pool_size=1)
    try:
        before = first_kept_day(datetime.now(UTC), settings.ttl_days)
        planned = store.expired(before)
        for item in planned:
            context.log.info(f"To drop: {item.day} with {item.event_count} events")
        removed = [] if config.dry_run else store.expire(before)
        group = GroupOffsets(storage.kafka_bootstrap_servers, settings.consumer_group, storage.topics)
        found = reconcile(storage, store, group, ttl_days=settings.ttl_days)
    finally:
        store.close()
    yield dg.AssetCheckResult(
        check_name=CHECK,
        passed=found.ok,
        metadata={
            "missing": found.missing_count,
            "unfounded": found.unfounded_count,
            "there_twice": found.doubled_count,
            "kept_out_by_dead_letters": found.excused_count,
            "first_missing": list(found.missing),
            "first_unfounded": list(found.unfounded),
            "first_there_twice": list(found.doubled),
        },
    )
    yield dg.MaterializeResult(
        metadata={
            "kept_from": before.isoformat(),
            "planned_events": sum(item.event_count for item in planned),
            "removed_days": [item.day.isoformat() for item in removed],
            "removed_events": sum(item.event_count for item in removed),
            "hot_events": found.hot_count,
        }
    )
