"""Partitions: UTC days of occurred_at, the current day included. Hours travel in run config (a UI of 40,000 hours freezes)."""

from datetime import UTC, date, datetime

import dagster as dg

from storage.settings import StorageSettings

# partitions must exist at import, and no import may read the environment.
FIRST_DAY: date = StorageSettings.model_fields["first_day"].default
DAYS = dg.DailyPartitionsDefinition(start_date=f"{FIRST_DAY:%Y-%m-%d}", end_offset=1, timezone="UTC")


def is_partition(day: date) -> bool:
    """Whether Dagster knows the day: records may be older, by settings, or of tomorrow by their clock. Runs of those name hours only."""
    return FIRST_DAY <= day <= datetime.now(UTC).date()
