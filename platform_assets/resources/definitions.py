"""The resources of the code location, by name."""

from typing import Any

from platform_assets.resources.dbt import make_dbt_resource
from platform_assets.resources.spark import SparkResource
from platform_assets.resources.warehouse import WarehouseResource


def make_resources() -> dict[str, Any]:
    """`dbt`, `spark` and `warehouse`; none opens anything until a run or tick uses it."""
    return {"dbt": make_dbt_resource(), "spark": SparkResource(), "warehouse": WarehouseResource()}
