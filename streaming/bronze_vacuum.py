"""Deletes data files that bronze needs no more: what compaction replaced, and what a crash left behind.

A file stays while it is younger than a limit, and for a day after it was replaced (the table's `deletedFileRetentionDuration`): so long the
versions that need it can be read. Landing is not disturbed: VACUUM looks at names and ages, and is set to write no commit.
"""

from pyspark.sql import SparkSession

from streaming.files import resolve_uri


def list_dead_files(spark: SparkSession, table_uri: str, kept_hours: int) -> list[str]:
    """What `delete_dead_files` would delete."""
    return _vacuum(spark, table_uri, kept_hours, "DRY RUN")


def delete_dead_files(spark: SparkSession, table_uri: str, kept_hours: int) -> None:
    """Deletes dead files older than `kept_hours`. Versions that needed them cannot be read any more. Idempotent."""
    _vacuum(spark, table_uri, kept_hours)


def _vacuum(spark: SparkSession, table_uri: str, kept_hours: int, suffix: str = "") -> list[str]:
    rows = spark.sql(f"VACUUM delta.`{resolve_uri(table_uri)}` RETAIN {kept_hours:d} HOURS {suffix}").collect()
    return [str(row["path"]) for row in rows]
