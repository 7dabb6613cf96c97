"""Compaction of bronze as an asset. What is worth rewriting: storage.bronze_files; the rewrite: streaming.jobs.compact_bronze."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.assets.housekeeping import Housekeeping
from platform_assets.dbt_translator import BRONZE_EVENTS, OWNERS
from platform_assets.resources.spark import SparkResource
from platform_assets.resources.warehouse import WarehouseResource
from platform_assets.settings import SPARK_POOL

if TYPE_CHECKING:
    from storage.bronze_files import DateFiles

COMPACTION = dg.AssetKey(["operations", "bronze_compaction"])


def due_dates(warehouse: WarehouseResource, spark: SparkResource) -> "list[DateFiles]":
    """The closed dates that a pass would rewrite. Reads Delta's log only. None in an object store, where landing compacts them."""
    from storage.bronze_files import choose_dates, list_date_files
    from storage.object_store import is_remote

    if is_remote(warehouse.storage.bronze_uri):
        return []
    settings = spark.settings
    return choose_dates(
        list_date_files(warehouse.storage),
        now=datetime.now(UTC),
        target_bytes=settings.compact_target_bytes,
        limit=settings.compact_dates_per_run,
    )


@dg.asset(
    key=COMPACTION,
    deps=[BRONZE_EVENTS],
    group_name="operations",
    owners=OWNERS,
    kinds={"spark", "deltalake"},
    tags={"layer": "operations", "cadence": "hourly"},
    pool=SPARK_POOL,
    description="Closed dates of bronze written anew as few files, rows in the order they occurred; no row changes, and landing goes on "
    "meanwhile. One materialisation per pass.",
)
def bronze_compaction(
    context: dg.AssetExecutionContext, config: Housekeeping, warehouse: WarehouseResource, spark: SparkResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Tells which dates it would rewrite before it does; a pass with none starts no Spark."""
    from streaming.jobs.compact_bronze import compact

    dates = due_dates(warehouse, spark)
    for item in dates:
        context.log.info(f"To rewrite: {item.event_date} with {item.file_count} files")
    rewrites = []
    if dates and not config.dry_run:
        with spark.session("tidemark-bronze-compaction") as session:
            for rewrite in compact(session, warehouse.storage, spark.settings, dates):
                context.log.info(f"{rewrite.event_date}: {rewrite.files_before} files became {rewrite.files_after}")
                rewrites.append(rewrite)
    return dg.MaterializeResult(
        metadata={
            "planned_dates": [item.event_date.isoformat() for item in dates],
            "planned_files": sum(item.file_count for item in dates),
            "rewritten_dates": sorted({item.event_date.isoformat() for item in rewrites}),
            "files_removed": sum(item.files_before for item in rewrites),
            "files_added": sum(item.files_after for item in rewrites),
            "bytes_removed": sum(item.bytes_before for item in rewrites),
            "bytes_added": sum(item.bytes_after for item in rewrites),
            "longest_lock_seconds": max((item.locked_seconds for item in rewrites), default=0.0),
        }
    )
