"""Watches the dbt project: regenerates the docs when the code that builds numbers is not the code that the docs describe."""

from datetime import UTC, datetime

import dagster as dg

from platform_assets.build import newest_build
from platform_assets.code_version import read_code_version
from platform_assets.resources.warehouse import WarehouseResource
from platform_assets.windows import is_current
from storage.control.hours import list_dirty


@dg.sensor(
    target=dg.AssetSelection.assets(["operations", "dbt_docs"]),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="The dbt project's version: requests new docs once per change, after the first build.",
)
def dbt_project_sensor(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult:
    """One request per code version; a missing site is asked for again after a failure by changing the run key with the build."""
    version = read_code_version()
    marker = warehouse.orchestration.docs_dir / "code_version"
    if marker.exists() and marker.read_text() == version:
        return dg.SensorResult(skip_reason="The docs describe the running code.", cursor=context.cursor)
    build = newest_build(warehouse.storage.builds_dir)
    if build is None:
        return dg.SensorResult(skip_reason="There is no build to generate docs from.", cursor=context.cursor)
    now = datetime.now(UTC)
    if any(not is_current(hour.hour, now) for hour in list_dirty(warehouse.engine)):
        return dg.SensorResult(skip_reason="Publishing comes first: older hours are dirty.", cursor=context.cursor)
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"{version}:{build.parent.name}", tags={"dagster/priority": "-5"})]
    )
