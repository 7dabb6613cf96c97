"""What many commits and many files of bronze cost: `python -m benchmarks.bronze_compaction [--versions N] [--log-files N] [--files N]`.

Commits: the same small append to a table at version N, to one whose log lies among N files (empty, with names that Delta passes over; by
default what a day of landing leaves) and to one at version 20, alternately, in one session; the tables are checkpointed every so many
commits beside the batches, as landing does. Files: a closed date of N files is rewritten; how many files it has then
against how many it would fill, and DuckDB's scan of the date at the version after against the one before. Prints one JSON line each.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import report

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from streaming.bronze_table import BronzeTable
    from streaming.settings import StreamingSettings

EARLY_VERSION = 20
ROUNDS = 20
COMMIT_TARGET = 1.3
FILES_TARGET = 2.0
SCAN_TARGET = 1.0
ROWS_PER_COMMIT = 500
DAY = date(2026, 1, 5)


def main() -> int:
    """Exit code 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=2_000)
    parser.add_argument("--log-files", type=int, default=86_400)
    parser.add_argument("--files", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as folder:
        return 0 if measure(Path(folder), options.versions, options.log_files, options.files) else 1


def measure(folder: Path, versions: int, log_files: int, files: int) -> bool:
    """Both parts, in a session of their own."""
    from local_stack.jars import ensure_jars
    from streaming.session import build_spark
    from streaming.settings import StreamingSettings

    settings = StreamingSettings(
        jars=":".join(str(jar) for jar in ensure_jars().spark),
        scratch_dir=str(folder / "scratch"),
        checkpoint_dir=str(folder / "checkpoints"),
    )
    spark = build_spark(settings, "tidemark-bench")
    try:
        is_flat = measure_commits(spark, folder, versions, log_files)
        return measure_files(spark, settings, folder, files) and is_flat
    finally:
        spark.stop()


def measure_commits(spark: "SparkSession", folder: Path, versions: int, log_files: int, rounds: int = ROUNDS) -> bool:
    """Median seconds of an append at the late version, and among many files, against one at the early version."""
    late, crowded, early = (make_table(spark, folder / name) for name in ("late", "crowded", "early"))
    # The long table goes first and warms the JVM up for all.
    for table, wanted in ((late, versions), (crowded, EARLY_VERSION), (early, EARLY_VERSION)):
        for _ in range(wanted - rounds // 2):
            append(spark, table)
    for number in range(log_files):
        # A compacted piece of the log, by its name, of versions before the checkpoint.
        (folder / "crowded" / "_delta_log" / f"{0:020d}.{number:020d}.compacted.json").touch()
    times: dict[str, list[float]] = {table.uri: [] for table in (late, crowded, early)}
    for _ in range(rounds):
        for table in (late, crowded, early):
            times[table.uri].append(append(spark, table))
    at_late, among_many, other = (statistics.median(times[table.uri]) for table in (late, crowded, early))
    details = {"early_version": EARLY_VERSION, "rounds": rounds}
    is_late_flat = report(
        "bronze_commit_at_a_late_version", at_late, other, COMMIT_TARGET, "lower", "s", versions=versions, **details
    )
    return (
        report(
            "bronze_commit_among_a_days_log",
            among_many,
            other,
            COMMIT_TARGET,
            "lower",
            "s",
            log_files=log_files,
            **details,
        )
        and is_late_flat
    )


def measure_files(spark: "SparkSession", settings: "StreamingSettings", folder: Path, files: int) -> bool:
    """How many files a date of `files` small ones becomes, and what reading it costs then."""
    from storage.bronze_files import list_date_files
    from storage.duckdb_session import open_session
    from storage.settings import StorageSettings
    from streaming.jobs.compact_bronze import compact

    table = make_table(spark, folder / "files")
    for _ in range(files):
        append(spark, table)
    before = table.version()
    storage = StorageSettings(bronze_uri=table.uri, extensions_dir=folder / "duckdb_extensions")
    started = time.perf_counter()
    rewrites = list(compact(spark, storage, settings, list_date_files(storage)))
    seconds = time.perf_counter() - started
    [item] = list_date_files(storage)
    ideal = item.ideal_count(settings.compact_target_bytes)
    details = {
        "files_before": files,
        "seconds": round(seconds, 3),
        "locked_seconds": round(max(rewrite.locked_seconds for rewrite in rewrites), 3),
    }
    are_few = report("bronze_files_of_a_date", item.file_count, ideal, FILES_TARGET, "lower", "files", **details)
    query = "select event_type, count(*), max(octet_length(value)) from delta_scan(?, version => ?) where event_date = ? group by all"
    with open_session(storage) as session:

        def scan(version: int | None) -> float:
            return timed(lambda: session.execute(query, [table.uri, version, DAY]).fetchall())

        scan(before)
        times = [(scan(table.version()), scan(before)) for _ in range(ROUNDS)]
    ours, other = (statistics.median(side) for side in zip(*times, strict=True))
    return report("bronze_scan_of_a_compacted_date", ours, other, SCAN_TARGET, "lower", "s", rounds=ROUNDS) and are_few


def make_table(spark: "SparkSession", folder: Path) -> "BronzeTable":
    """An empty bronze."""
    from streaming.bronze_table import BronzeTable

    table = BronzeTable(spark, str(folder))
    table.create()
    return table


def append(spark: "SparkSession", table: "BronzeTable") -> float:
    """Seconds of one small commit as landing makes it; the checkpoint that may be due comes behind it, as landing's does."""
    from streaming.commit_lock import CommitLock
    from streaming.commit_metadata import CommitMetadata
    from streaming.landing import COMMITS_PER_CHECKPOINT

    rows, lock = make_rows(spark).coalesce(1), CommitLock(spark, table.uri)
    metadata = CommitMetadata("live", 0, datetime.now(UTC), {}, {}).to_json()

    def commit() -> None:
        with lock.hold():
            table.append(rows, metadata, None)

    seconds = timed(commit)
    if table.commits_since_checkpoint() >= COMMITS_PER_CHECKPOINT:
        table.checkpoint()
    return seconds


def timed(act: Callable[[], object]) -> float:
    """Seconds of an act."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def make_rows(spark: "SparkSession") -> "DataFrame":
    """Rows of one closed date with bronze's columns, spread over ten hours."""
    from streaming.schemas import BRONZE_COLUMNS

    texts = {
        "kafka_topic": "'events.raw.v1'",
        "kafka_partition": "0",
        "kafka_offset": "id",
        "event_hour": f"timestamp'{DAY} 10:00:00'",
        "occurred_at": f"timestamp_seconds(unix_seconds(timestamp'{DAY} 00:00:00') + (id * 7919) % 36000)",
        "event_id": "uuid()",
        "app_id": "'bench'",
        "event_type": "'view'",
        "contract": "'engagement/1'",
        "key": "cast(cast(id as string) as binary)",
        "value": 'cast(concat(\'{"user_id":"\', id, \'","text":"\', repeat(uuid(), 8), \'"}\') as binary)',
        "event_date": f"date'{DAY}'",
    }
    moments = dict.fromkeys(("kafka_timestamp", "received_at", "ingested_at"), "current_timestamp()")
    known = {**texts, **moments}
    return spark.range(ROWS_PER_COMMIT).selectExpr(
        *(f"cast({known.get(column.name, 'null')} as {column.data_type}) as {column.name}" for column in BRONZE_COLUMNS)
    )


if __name__ == "__main__":
    sys.exit(main())
