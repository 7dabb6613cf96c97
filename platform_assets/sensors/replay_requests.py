"""Watches the requested replays: asks for bounded runs over their open days, one batch of runs at a time, behind all that arrives.

What is finished stands in the rows of the replay, not in a cursor: a daemon, run or stack that dies leaves days open, and the next
tick asks for them again.
"""

from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from platform_assets.assets.warehouse import PUBLISHED_TAG
from platform_assets.jobs import replay_days
from platform_assets.replay import ReplayWindow, next_windows
from platform_assets.resources.warehouse import WarehouseResource
from platform_assets.sensors.dirty_hours import INTERVAL_SECONDS, LANE_TAG
from storage.control import replays

REPLAY = "replay"
REPLAY_TAG = "tidemark/replay"
# Below the late lane (5) and the reconciliation (0).
PRIORITY = "-5"


@dg.sensor(
    job=replay_days,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Replays that people asked for: requests bounded runs over their open days, below all that arrives.",
)
def replay_requests_sensor(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult:
    """Runs of the oldest replay first. Queued runs of a replay that is over are taken from the queue."""
    active = replays.list_active(warehouse.engine)
    ids = {str(replay.replay_id) for replay in active}
    unfinished = context.instance.get_runs(dg.RunsFilter(tags={LANE_TAG: REPLAY}, statuses=NOT_FINISHED_STATUSES))
    for run in unfinished:
        if run.status == dg.DagsterRunStatus.QUEUED and run.tags.get(REPLAY_TAG) not in ids:
            context.instance.run_coordinator.cancel_run(run.run_id)
    if not active:
        return dg.SensorResult(skip_reason="No replay is asked for.")
    building = [run for run in unfinished if PUBLISHED_TAG not in run.tags and run.tags.get(REPLAY_TAG) in ids]
    if building:
        return dg.SensorResult(skip_reason=f"Replay {building[0].tags[REPLAY_TAG]} waits for run {building[0].run_id}.")
    replays.close_exhausted(warehouse.engine)
    limits = warehouse.orchestration
    windows = next_windows(
        active, now=datetime.now(UTC), max_rows=limits.max_rows_per_late_run, max_runs=limits.max_runs_per_tick
    )
    if not windows:
        return dg.SensorResult(skip_reason="No open day is due.")
    return dg.SensorResult(run_requests=[_run_request(item) for item in windows])


def _run_request(item: ReplayWindow) -> dg.RunRequest:
    """A run that names its hours and no partition, as runs over several days do; it reports every day that it built."""
    hours = [f"{hour:%Y-%m-%dT%H:%M:%SZ}" for hour in item.window.hours]
    config = {"hours": hours, "cause": "replay", "replay_id": item.replay_id}
    first, last = item.window.days[0], item.window.days[-1]
    return dg.RunRequest(
        run_config={"ops": {"publish_hours": {"config": config}}},
        tags={
            LANE_TAG: REPLAY,
            REPLAY_TAG: str(item.replay_id),
            "tidemark/cause": "replay",
            "tidemark/days": f"{first}..{last}",
            "dagster/priority": PRIORITY,
        },
    )
