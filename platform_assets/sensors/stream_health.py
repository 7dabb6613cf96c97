"""Watches the heartbeats of what runs continuously: a stale one raises one alert, a fresh one resolves it."""

from datetime import UTC, datetime

import dagster as dg

from platform_assets.resources.warehouse import WarehouseResource
from storage.control.alerts import open_alert, resolve_alert
from storage.control.heartbeats import read_all

KIND = "stale_heartbeat"


@dg.sensor(
    asset_selection=None,
    job_name=None,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Heartbeats of streams: opens one alert per silent stream, and resolves it when the stream is back.",
    target=None,
)
def stream_health_sensor(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult:
    """Requests no run; its effect are rows of control.alerts."""
    now = datetime.now(UTC)
    stale = []
    for heartbeat in read_all(warehouse.engine):
        age_seconds = (now - heartbeat.beat_at).total_seconds()
        if age_seconds > warehouse.orchestration.stale_heartbeat_seconds:
            message = f"{heartbeat.name} was last heard at {heartbeat.beat_at:%Y-%m-%dT%H:%M:%SZ}. See `tidemark logs {heartbeat.name}`."
            open_alert(warehouse.engine, KIND, heartbeat.name, message, heartbeat.details)
            stale.append(heartbeat.name)
        else:
            resolve_alert(warehouse.engine, KIND, heartbeat.name)
    return dg.SensorResult(
        skip_reason=f"Silent: {', '.join(stale)}" if stale else "All streams are heard.", cursor=context.cursor
    )
