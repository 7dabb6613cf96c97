"""Retention of bronze's dead files as an asset. Rows are kept for ever: only files that compaction replaced are deleted."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from platform_assets.assets.bronze_compaction import COMPACTION
from platform_assets.assets.housekeeping import Housekeeping
from platform_assets.dbt_translator import OWNERS
from platform_assets.resources.spark import SparkResource
from platform_assets.resources.warehouse import WarehouseResource
from platform_assets.settings import SPARK_POOL


@dg.asset(
    key=["operations", "bronze_retention"],
    deps=[COMPACTION],
    group_name="operations",
    owners=OWNERS,
    kinds={"spark", "deltalake"},
    tags={"layer": "operations", "cadence": "daily"},
    pool=SPARK_POOL,
    description="Deletes bronze's data files that no version of the last day needs. Older publications keep their rows and offsets; the "
    "bronze version that they name is final. One materialisation per pass.",
)
def bronze_retention(
    context: dg.AssetExecutionContext, config: Housekeeping, warehouse: WarehouseResource, spark: SparkResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Tells what it would delete before it does."""
    from storage.bronze import latest_version
    from streaming.bronze_vacuum import delete_dead_files, list_dead_files

    kept_hours = warehouse.orchestration.bronze_dead_files_kept_hours
    before = datetime.now(UTC) - timedelta(hours=kept_hours)
    uri = warehouse.storage.bronze_uri
    planned: list[str] = []
    if latest_version(warehouse.storage) is not None:
        with spark.session("tidemark-bronze-retention") as session:
            planned = list_dead_files(session, uri, kept_hours)
            context.log.info(f"To delete: {len(planned)} dead files of before {before:%Y-%m-%dT%H:%MZ}")
            if planned and not config.dry_run:
                delete_dead_files(session, uri, kept_hours)
    return dg.MaterializeResult(
        metadata={
            "kept_from": before.isoformat(),
            "planned_files": len(planned),
            "removed_files": 0 if config.dry_run else len(planned),
        }
    )
