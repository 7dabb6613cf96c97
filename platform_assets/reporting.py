"""Tells Dagster what a run materialised, day by day, in few transactions."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata


def has_partitions(context: dg.AssetExecutionContext) -> bool:
    """True for a run over a day or a range of days; False for one that names its hours alone."""
    return bool(context.has_partition_key or context.has_partition_key_range)


def materialize(
    context: dg.AssetExecutionContext, key: dg.AssetKey, metadata: Mapping[str, Any], hours: tuple[datetime, ...]
) -> Iterator[Any]:
    """The materialisation of one asset: its result where the run has partitions and selects it, else one event per day built."""
    if has_partitions(context) and key in context.selected_asset_keys:
        yield dg.MaterializeResult(asset_key=key, metadata=metadata)
        return
    _log_days(context, key, metadata, sorted({f"{hour:%Y-%m-%d}" for hour in hours}))


def _log_days(
    context: dg.AssetExecutionContext, key: dg.AssetKey, metadata: Mapping[str, Any], days: list[str]
) -> None:
    """One event per day, written as one batch where DAGSTER_EVENT_BATCH_SIZE allows.

    A yielded AssetMaterialization would be written alone, on a connection of its own: minutes for a year of days. Dagster batches what
    it logs for a partition range by this same internal call.
    """
    step = context.op_execution_context.get_step_execution_context()
    batch_id = f"{context.run_id}-{key.to_user_string()}"
    for day in days:
        DagsterEvent.asset_materialization(
            step,
            dg.AssetMaterialization(key, metadata=metadata, partition=day),
            DagsterEventBatchMetadata(batch_id, is_end=day == days[-1]),
        )
