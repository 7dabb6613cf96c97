"""Watches what runs continuously: a stale heartbeat raises one alert, and records that get no further raise another.

A driver beats by a thread of its own, so that one which hangs is heard as before: what tells is that it does not get on. A member of
a consumer group tells of all of it, so that a partition that nobody reads is seen.
"""

from datetime import UTC, datetime

import dagster as dg

from platform_assets.resources.warehouse import WarehouseResource
from storage.control.alerts import open_alert, resolve_alert
from storage.control.heartbeats import SILENT, STALLED, Heartbeat, read_all


@dg.sensor(
    asset_selection=None,
    job_name=None,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Heartbeats of streams: opens one alert per stream that is silent or does not get on, and resolves it when it is over.",
    target=None,
)
def stream_health_sensor(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult:
    """Requests no run; its effect are rows of control.alerts."""
    now, settings = datetime.now(UTC), warehouse.orchestration
    troubled = []
    for heartbeat in read_all(warehouse.engine):
        silence = find_silence(heartbeat, now, settings.stale_heartbeat_seconds)
        stall = None if silence else find_stall(heartbeat, now, settings.stalled_stream_seconds)
        for kind, message in ((SILENT, silence), (STALLED, stall)):
            if message:
                open_alert(warehouse.engine, kind, heartbeat.name, message, heartbeat.details)
                troubled.append(f"{heartbeat.name} ({kind})")
            else:
                resolve_alert(warehouse.engine, kind, heartbeat.name)
    return dg.SensorResult(
        skip_reason=f"Alerts are open: {', '.join(troubled)}" if troubled else "All streams are heard and get on.",
        cursor=context.cursor,
    )


def find_silence(heartbeat: Heartbeat, now: datetime, after_seconds: float) -> str | None:
    """What to tell of a stream that was silent for longer, or None."""
    if (now - heartbeat.beat_at).total_seconds() <= after_seconds:
        return None
    return (
        f"{heartbeat.name} was last heard at {heartbeat.beat_at:%Y-%m-%dT%H:%M:%SZ}. See `tidemark logs {heartbeat.name}`; "
        f"if it is gone on purpose, `tidemark streams forget {heartbeat.name}`."
    )


def find_stall(heartbeat: Heartbeat, now: datetime, after_seconds: float) -> str | None:
    """What to tell of a stream whose records wait and got no further for longer; None for all others."""
    waits_since = heartbeat.details.get("waits_since")
    if waits_since is None:
        return None
    since = datetime.fromisoformat(waits_since)
    if (now - since).total_seconds() <= after_seconds:
        return None
    waiting = sum(heartbeat.details["lag"].values())
    return (
        f"{waiting:,} records wait for {heartbeat.name}, some of them since {since:%Y-%m-%dT%H:%M:%SZ}. "
        f"See `tidemark logs {heartbeat.name}`; what hangs is started again when its process is killed."
    )
