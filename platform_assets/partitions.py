"""Partitions: UTC days of occurred_at, the current day included. Hours travel in run config (a UI of 40,000 hours freezes)."""

import dagster as dg

from storage.settings import StorageSettings

# partitions must exist at import, and no import may read the environment.
FIRST_DAY = StorageSettings.model_fields["first_day"].default
DAYS = dg.DailyPartitionsDefinition(start_date=f"{FIRST_DAY:%Y-%m-%d}", end_offset=1, timezone="UTC")
