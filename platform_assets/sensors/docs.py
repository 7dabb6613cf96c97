"""Watches the dbt project: regenerates the docs when the code that builds numbers is not the code that the docs describe."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import RUN_KEY_TAG

from platform_assets.build import newest_build
from platform_assets.code_version import read_code_version
from platform_assets.resources.warehouse import WarehouseResource
from platform_assets.sensors.dirty_hours import LANE_TAG
from platform_assets.windows import is_current
from storage.control.hours import list_dirty

DOCS = "docs"
# Above the builds: with events arriving without a pause there is always one that waits, and this run comes once per code version.
PRIORITY = "20"
PATIENCE = timedelta(seconds=60)
# What failed once is likely to fail again, and costs some ten seconds of a processor each time.
RETRY_AFTER = timedelta(minutes=5)


@dg.sensor(
    target=dg.AssetSelection.assets(["operations", "dbt_docs"]),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="The dbt project's version: requests new docs once per change, after the first build.",
)
def dbt_project_sensor(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult:
    """One request per code version; after a failure another one later, told from the first by the build that it reads.

    Older dirty hours go first, for a minute: late events may make hours dirty for ever. The cursor says which version waits since when.
    """
    version = read_code_version()
    marker = warehouse.orchestration.docs_dir / "code_version"
    if marker.exists() and marker.read_text() == version:
        return _skip("The docs describe the running code.", None)
    build = newest_build(warehouse.storage.builds_dir)
    if build is None:
        return _skip("There is no build to generate docs from.", None)
    unfinished = context.instance.get_runs(
        dg.RunsFilter(tags={LANE_TAG: DOCS}, statuses=NOT_FINISHED_STATUSES), limit=1
    )
    if unfinished:
        return _skip(f"Run {unfinished[0].run_id} generates them.", context.cursor)
    now = datetime.now(UTC)
    waiting, _, noted = (context.cursor or "").partition(" ")
    since = datetime.fromisoformat(noted) if waiting == version else now
    cursor = f"{version} {since.isoformat()}"
    if now - since < PATIENCE and any(not is_current(hour.hour, now) for hour in list_dirty(warehouse.engine)):
        return _skip("Publishing comes first: older hours are dirty.", cursor)
    if _has_just_failed(context.instance, version, now):
        return _skip(f"The last run for this code failed; the next one comes {RETRY_AFTER} after it.", cursor)
    request = dg.RunRequest(
        run_key=f"{version}:{build.parent.name}", tags={LANE_TAG: DOCS, "dagster/priority": PRIORITY}
    )
    return dg.SensorResult(run_requests=[request], cursor=cursor)


def _has_just_failed(instance: dg.DagsterInstance, version: str, now: datetime) -> bool:
    failed = instance.get_run_records(
        dg.RunsFilter(tags={LANE_TAG: DOCS}, statuses=[dg.DagsterRunStatus.FAILURE]), limit=1
    )
    return any(
        record.dagster_run.tags.get(RUN_KEY_TAG, "").startswith(f"{version}:")
        and record.end_time is not None
        and now.timestamp() - record.end_time < RETRY_AFTER.total_seconds()
        for record in failed
    )


def _skip(reason: str, cursor: str | None) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason, cursor=cursor)
