"""The shape of bronze, written once: columns, table properties, and the DDL made from them. No reading, no writing.

One row per Kafka record of the three topics; good and bad alike.
"""

from dataclasses import dataclass

PARTITION_COLUMN = "event_date"


@dataclass(frozen=True)
class Column:
    """A column of bronze with its Spark SQL type and meaning."""

    name: str
    data_type: str
    description: str
    nullable: bool = True


BRONZE_COLUMNS = (
    Column("kafka_topic", "string", "Topic that the record was read from.", nullable=False),
    Column("kafka_partition", "int", "Partition of the topic.", nullable=False),
    Column("kafka_offset", "bigint", "Offset in the partition; each lands exactly once.", nullable=False),
    Column("kafka_timestamp", "timestamp", "When the broker appended the record.", nullable=False),
    Column("event_hour", "timestamp", "UTC hour that the record is counted in; see event_date.", nullable=False),
    Column("occurred_at", "timestamp", "The client's clock, from ce_time; null when unreadable."),
    Column("received_at", "timestamp", "The ingestion API's clock, from ce_receivedat; null when unreadable."),
    Column("ingested_at", "timestamp", "Stamp of the commit; grows strictly with commit order.", nullable=False),
    Column("event_id", "string", "Id of the event, from ce_id."),
    Column("app_id", "string", "Sending application, from ce_source; 'unknown' without one.", nullable=False),
    Column("event_type", "string", "Type of the event, from ce_type."),
    Column("contract", "string", "Contract and version, from ce_dataschema."),
    Column("dlq_stage", "string", "Where a dead letter was rejected: edge or consumer; null for events."),
    Column("rejection_reason", "string", "Why the record is not an event; null when it is good at landing."),
    Column("key", "binary", "Kafka key: the user id's bytes."),
    Column("value", "binary", "The record's bytes, exactly as sent."),
    Column(
        "headers",
        "array<struct<key:string,value:binary>>",
        "All headers in the order sent. Null when there are none (occurred_at is null too), or when they are exactly the stamps as the "
        "ingestion API writes them: ce_specversion 1.0, ce_id, ce_source, ce_type, ce_time, ce_dataschema, ce_receivedat. Then the columns "
        "say what they hold; times are RFC 3339 in UTC, with microseconds and Z.",
    ),
    Column(
        "event_date",
        "date",
        "UTC date of occurred_at when it is plausible, else of received_at when that is, else of kafka_timestamp.",
        nullable=False,
    ),
)

# Statistics of the columns that readers filter by, and of none that hold payload: a log entry stays near 1 kB.
# A file usually holds every topic and partition of its batch, so statistics of these two would skip none.
STATISTICS_COLUMNS = ("kafka_offset", "event_hour", "ingested_at")

# Classic protocol (reader 1, writer 2): DuckDB's delta_scan and delta-rs read it at any kept version.
TABLE_PROPERTIES = {
    "delta.appendOnly": "true",
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
    "delta.dataSkippingStatsColumns": ",".join(STATISTICS_COLUMNS),
    # Never by a commit: one in thirty would take a second longer. The landing driver checkpoints between commits.
    "delta.checkpointInterval": "1000000000",
    # At one commit a second the log gains 86,400 files a day, and every commit lists it.
    "delta.logRetentionDuration": "interval 1 days",
    "delta.deletedFileRetentionDuration": "interval 1 days",
}


def bronze_column_names() -> list[str]:
    """Column names in table order."""
    return [column.name for column in BRONZE_COLUMNS]


def bronze_ddl(table: str) -> str:
    """`CREATE TABLE IF NOT EXISTS` for `table`, a quoted identifier such as delta.`/path`."""
    columns = ",\n  ".join(
        f"{column.name} {column.data_type}{'' if column.nullable else ' NOT NULL'} COMMENT {_literal(column.description)}"
        for column in BRONZE_COLUMNS
    )
    properties = ", ".join(f"'{name}' = '{value}'" for name, value in TABLE_PROPERTIES.items())
    return (
        f"CREATE TABLE IF NOT EXISTS {table} (\n  {columns}\n) USING delta "
        f"PARTITIONED BY ({PARTITION_COLUMN}) TBLPROPERTIES ({properties})"
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "\\'") + "'"
