"""Bronze as Dagster sees it: an external table that Spark writes. The arrivals sensor reports what it observes."""

import dagster as dg

from platform_assets.dbt_translator import BRONZE_EVENTS, OWNERS
from streaming.schemas import BRONZE_COLUMNS

bronze_events = dg.AssetSpec(
    BRONZE_EVENTS,
    group_name="engagement",
    owners=OWNERS,
    kinds={"deltalake", "spark"},
    tags={"layer": "bronze", "cadence": "continuous", "pii": "true"},
    description="Raw records of all topics, good and bad, byte for byte, each Kafka offset exactly once. One row per Kafka record.",
    metadata={
        "dagster/column_schema": dg.TableSchema(
            [dg.TableColumn(column.name, column.data_type, column.description) for column in BRONZE_COLUMNS]
        )
    },
)
