"""Bronze as Dagster sees it: an external table that Spark writes. The arrivals sensor reports what it observes."""

import dagster as dg

from platform_assets.dbt_translator import BRONZE_EVENTS, OWNERS

BRONZE_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("kafka_topic", "string", "Kafka topic."),
        dg.TableColumn("kafka_partition", "int", "Kafka partition."),
        dg.TableColumn("kafka_offset", "bigint", "Kafka offset; each lands exactly once."),
        dg.TableColumn("kafka_timestamp", "timestamp", "The broker's append time."),
        dg.TableColumn("key", "binary", "Record key: the user id."),
        dg.TableColumn("value", "binary", "The event's bytes as the client sent them."),
        dg.TableColumn("headers", "array<struct<key,value>>", "Record headers; null when they are the stamps alone."),
        dg.TableColumn("event_id", "string", "Stamp: event id."),
        dg.TableColumn("app_id", "string", "Stamp: app id; `unknown` without one."),
        dg.TableColumn("event_type", "string", "Stamp: event type."),
        dg.TableColumn("contract", "string", "Stamp: contract and version, such as engagement/1."),
        dg.TableColumn("occurred_at", "timestamp", "The client's event time."),
        dg.TableColumn("received_at", "timestamp", "The API's clock."),
        dg.TableColumn("ingested_at", "timestamp", "The lake's clock; grows with commit order."),
        dg.TableColumn("event_date", "date", "UTC date of event_hour; partition column."),
        dg.TableColumn("event_hour", "timestamp", "UTC hour of occurred_at, or of received_at when that is unknown."),
        dg.TableColumn("dlq_stage", "string", "Stage of a dead letter: edge or consumer."),
        dg.TableColumn("rejection_reason", "string", "Why the record was not understood; null when good."),
    ]
)

bronze_events = dg.AssetSpec(
    BRONZE_EVENTS,
    group_name="engagement",
    owners=OWNERS,
    kinds={"deltalake", "spark"},
    tags={"layer": "bronze", "cadence": "continuous", "pii": "true"},
    description="Raw records of all topics, good and bad, byte for byte, each Kafka offset exactly once. One row per Kafka record.",
    metadata={"dagster/column_schema": BRONZE_COLUMNS},
)
