"""Retention of the live tables as an asset. Which hours may go: storage.live.retention."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from platform_assets.assets.housekeeping import Housekeeping
from platform_assets.assets.warehouse import PUBLICATION
from platform_assets.dbt_translator import OWNERS
from platform_assets.resources.warehouse import WarehouseResource


@dg.asset(
    key=["operations", "live_retention"],
    deps=[PUBLICATION],
    group_name="operations",
    owners=OWNERS,
    kinds={"postgres"},
    tags={"layer": "operations", "cadence": "hourly"},
    description="Removes live minutes that gold has answered for longer than a week, the ledger of what they left out, and old alerts. "
    "One materialisation per pass.",
)
def live_retention(
    context: dg.AssetExecutionContext, config: Housekeeping, warehouse: WarehouseResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Tells what it would remove before it removes it."""
    from storage.live.retention import Removal, plan_removal, remove

    settings, now = warehouse.orchestration, datetime.now(UTC)
    minutes_before = now - timedelta(days=settings.live_minutes_kept_days)
    alerts_before = now - timedelta(days=settings.live_alerts_kept_days)
    limit = settings.live_hours_per_pass
    planned = plan_removal(
        warehouse.engine, minutes_before=minutes_before, alerts_before=alerts_before, limit_hours=limit
    )
    context.log.info(
        f"To remove: {planned.minute_rows} cells of {len(planned.hours)} hours, {planned.ledger_rows} rows of the ledger, "
        f"{planned.alert_rows} alerts"
    )
    removed = Removal((), 0, 0, 0)
    if not config.dry_run:
        removed = remove(
            warehouse.engine, minutes_before=minutes_before, alerts_before=alerts_before, limit_hours=limit
        )
    return dg.MaterializeResult(
        metadata={
            "kept_from": minutes_before.isoformat(),
            "planned_hours": len(planned.hours),
            "planned_minute_rows": planned.minute_rows,
            "planned_ledger_rows": planned.ledger_rows,
            "planned_alert_rows": planned.alert_rows,
            "removed_hours": len(removed.hours),
            "removed_minute_rows": removed.minute_rows,
            "removed_ledger_rows": removed.ledger_rows,
            "removed_alert_rows": removed.alert_rows,
        }
    )
