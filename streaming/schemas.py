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
    Column("kafka_topic", "string", "Kafka topic of the record.", nullable=False),
    Column("kafka_partition", "int", "Kafka partition of the record.", nullable=False),
    Column(
        "kafka_offset",
        "bigint",
        "Kafka offset of the record within its partition; each lands exactly once.",
        nullable=False,
    ),
    Column(
        "kafka_timestamp",
        "timestamp",
        "When the broker appended the record, by the broker's clock. UTC.",
        nullable=False,
    ),
    Column(
        "event_hour",
        "timestamp",
        "Start of the UTC hour that the record is filed under; see event_date.",
        nullable=False,
    ),
    Column(
        "occurred_at", "timestamp", "When it happened, by the client's clock, from ce_time; null when unreadable. UTC."
    ),
    Column(
        "received_at", "timestamp", "When the ingestion API took it in, from ce_receivedat; null when unreadable. UTC."
    ),
    Column(
        "ingested_at",
        "timestamp",
        "When it landed in bronze; grows with bronze's commit order, so that it orders copies. UTC.",
        nullable=False,
    ),
    Column(
        "event_id",
        "string",
        "The event's id within its application, from ce_id: given by the client, or made by the server.",
    ),
    Column(
        "app_id",
        "string",
        "The application that sent the event, by its write key, from ce_source; `unknown` for a record without that stamp.",
        nullable=False,
    ),
    Column("event_type", "string", "Type of the event, from ce_type."),
    Column(
        "contract",
        "string",
        "The contract and version that the record was stamped with, from ce_dataschema, for instance `engagement/1`.",
    ),
    Column(
        "dlq_stage",
        "string",
        "Where a dead letter was rejected: `edge` (it never was in a raw topic) or `consumer` (it points to a raw offset); "
        "null for events.",
    ),
    Column(
        "rejection_reason",
        "string",
        "Why the record was rejected at the edge or at landing; null when it was good so far.",
    ),
    Column("key", "binary", "The record's key: the user id, so that one user's events keep their order."),
    Column("value", "binary", "The record's value: the event's bytes exactly as the client sent them."),
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
        "UTC date that the record is filed under: of occurred_at when that is plausible, else of received_at when that is, "
        "else of kafka_timestamp.",
        nullable=False,
    ),
)

# Statistics of the columns that readers filter by, and of none that hold payload: a log entry stays near 1 kB.
# A file usually holds every topic and partition of its batch, so statistics of these two would skip none.
STATISTICS_COLUMNS = ("kafka_offset", "event_hour", "ingested_at")

# Of rewritten files; places make it whole.
REWRITE_ORDER = ("occurred_at", "kafka_topic", "kafka_partition", "kafka_offset")

# Classic protocol (reader 1, writer 2): DuckDB's delta_scan and delta-rs read it at any kept version.
TABLE_PROPERTIES = {
    "delta.appendOnly": "true",
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
    "delta.dataSkippingStatsColumns": ",".join(STATISTICS_COLUMNS),
    # Never by a commit: one in thirty would take a second longer. The landing driver checkpoints between commits.
    "delta.checkpointInterval": "1000000000",
    # At a commit every two seconds the log gains 86,400 files a day, two for each, and every reader that opens the table lists it.
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
