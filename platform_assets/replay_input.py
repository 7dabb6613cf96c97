"""Reads what a replay or plan is planned from: bronze's records per hour, and the hours that are known. No Dagster here."""

from dataclasses import replace

from sqlalchemy import Engine

from platform_assets.build import NothingLandedError
from platform_assets.replay import plan_days
from storage.control.hours import list_known
from storage.control.replays import PlannedDay, ReplayRange
from storage.settings import StorageSettings


def find_days(
    settings: StorageSettings, engine: Engine, wanted: ReplayRange, max_rows: int | None = None
) -> list[PlannedDay]:
    """The days of the range with something to rebuild, in parts where one has more than `max_rows` (`platform_assets.replay`).

    With an app or a type: the hours that hold such records, whole.

    Raises:
        NothingLandedError: there is no bronze table.
    """
    from storage.bronze import latest_version
    from storage.bronze_hours import count_by_hour

    version = latest_version(settings)
    if version is None:
        raise NothingLandedError(
            f"There is no bronze table at {settings.bronze_uri} yet. Send an event, and see `tidemark status`."
        )
    rows = count_by_hour(settings, version, replace(wanted, app_id="", event_type=""))
    if wanted.app_id or wanted.event_type:
        chosen = count_by_hour(settings, version, wanted)
        return plan_days(wanted, {hour: rows[hour] for hour in chosen}, (), max_rows=max_rows)
    known = list_known(engine, wanted.first_hour, wanted.end_hour)
    return plan_days(wanted, rows, known, max_rows=max_rows)
