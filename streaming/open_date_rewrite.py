"""Writes small files of an open date of bronze anew as fewer, rows in the order they occurred. No row is added, changed or lost.

DuckDB writes them, in one thread and a bounded memory: the landing driver's JVM, which batches wait for, would need seven times
the processor time. Delta's transaction commits them, as it does for closed dates (streaming.date_rewrite).
"""

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, datetime
from typing import Any
from urllib.parse import unquote

from pyspark.sql import SparkSession

from storage.bronze_files import BronzeFile, list_files
from storage.duckdb_session import open_session
from storage.object_store import quoted
from storage.settings import StorageSettings
from streaming.errors import RewriteError
from streaming.files import resolve_uri
from streaming.rewrite_transaction import Action, Committer, Rewrite, RewriteTransaction
from streaming.schemas import PARTITION_COLUMN, REWRITE_ORDER, STATISTICS_COLUMNS, bronze_column_names

NICENESS = 19
# DuckDB holds a row group of a file in memory until it is whole: it ends at so many bytes, or at 122,880 rows.
ROW_GROUP_BYTES = 32 * 1024 * 1024


class OpenDateRewriter:
    """Rewrites dates of one table while it grows."""

    def __init__(self, spark: SparkSession, storage: StorageSettings, committer: Committer) -> None:
        self._spark = spark
        self._storage = storage
        self._table_uri = resolve_uri(storage.bronze_uri)
        self._committer = committer

    def rewrite(self, event_date: date, *, smaller_than: int, target_bytes: int) -> Rewrite:
        """The date's files of fewer than `smaller_than` bytes as files of about `target_bytes`. Files that land meanwhile stay as they are.

        What it wrote stays behind, unused until VACUUM takes it, when it does not come to the commit.

        Raises: what RewriteTransaction.commit raises; DuckDB's error when the files cannot be read or written; RewriteError when what was
        written has not the rows that were read.
        """
        transaction = RewriteTransaction(self._spark, self._table_uri, event_date)
        live = list_files(self._storage, transaction.version)
        old = [file for file in live if file.event_date == event_date and file.size_bytes < smaller_than]
        # A thread of its own: only the super-user can take a niceness back, and batches wait for the commit.
        with ThreadPoolExecutor(1, initializer=_stand_back) as executor:
            new = executor.submit(self._write, event_date, old, target_bytes).result()
        now_ms = int(time.time() * 1000)
        added = [_to_add(event_date, file, now_ms) for file in new]
        removed = [_to_remove(file, now_ms) for file in old]
        version, locked_seconds = self._committer.commit(transaction, [*added, *removed])
        return Rewrite(
            event_date=event_date,
            version=version,
            files_before=len(old),
            files_after=len(new),
            bytes_before=sum(file.size_bytes for file in old),
            bytes_after=sum(action["add"]["size"] for action in added),
            locked_seconds=locked_seconds,
        )

    def _write(self, event_date: date, files: Sequence[BronzeFile], target_bytes: int) -> list[dict[str, Any]]:
        """What DuckDB says of each file that it wrote: address, rows, bytes, and least and greatest values."""
        folder = f"{self._table_uri}/{PARTITION_COLUMN}={event_date.isoformat()}"
        sources = ", ".join(quoted(f"{self._table_uri}/{unquote(file.path)}") for file in files)
        columns = ", ".join(name for name in bronze_column_names() if name != PARTITION_COLUMN)
        with open_session(self._storage, extensions=()) as session:
            session.execute("SET threads=1")
            # What has no order of its own may lose it: only then DuckDB bounds a row group by its bytes.
            session.execute("SET preserve_insertion_order=false")
            [(expected,)] = session.execute(
                f"select sum(num_rows)::bigint from parquet_file_metadata([{sources}])"
            ).fetchall()
            cursor = session.execute(
                f"""
                copy (
                    select {columns}, date {quoted(event_date.isoformat())} as {PARTITION_COLUMN}
                    from read_parquet([{sources}], hive_partitioning = false, union_by_name = true)
                    order by {", ".join(f"{name} nulls first" for name in REWRITE_ORDER)}
                ) to {quoted(folder)} (
                    format parquet, compression zstd, compression_level 1, file_size_bytes {target_bytes},
                    row_group_size_bytes {ROW_GROUP_BYTES}, filename_pattern 'part-{{uuid}}', append true, return_stats true
                )
                """
            )
            names = [column[0] for column in cursor.description or []]
            written = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        count = sum(file["count"] for file in written)
        if count != expected:
            raise RewriteError(f"{event_date}: {count} rows were written of {expected}; bronze stays as it is")
        return written


def _stand_back() -> None:
    """Takes what batches leave. Where a niceness is a process's, not a thread's, it stays as it is."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _to_add(event_date: date, file: dict[str, Any], now_ms: int) -> Action:
    """Delta's action for a file that DuckDB wrote."""
    day = event_date.isoformat()
    return {
        "add": {
            "path": f"{PARTITION_COLUMN}={day}/{file['filename'].rpartition('/')[2]}",
            "partitionValues": {PARTITION_COLUMN: day},
            "size": file["file_size_bytes"],
            "modificationTime": now_ms,
            "stats": json.dumps(to_statistics(file["count"], file["column_statistics"])),
        }
    }


def _to_remove(file: BronzeFile, now_ms: int) -> Action:
    return {
        "remove": {
            "path": file.path,
            "deletionTimestamp": now_ms,
            "extendedFileMetadata": True,
            "partitionValues": {PARTITION_COLUMN: file.event_date.isoformat()},
            "size": file.size_bytes,
        }
    }


def to_statistics(row_count: int, columns: dict[str, dict[str, str]]) -> dict[str, Any]:
    """A file's statistics as Delta's log has them, out of DuckDB's. Times in UTC with all their microseconds."""
    found = {name: columns[f'"{name}"'] for name in STATISTICS_COLUMNS}
    return {
        "numRecords": row_count,
        "minValues": {name: _value(name, of["min"]) for name, of in found.items() if "min" in of},
        "maxValues": {name: _value(name, of["max"]) for name, of in found.items() if "max" in of},
        "nullCount": {name: int(of["null_count"]) for name, of in found.items()},
    }


def _value(name: str, text: str) -> int | str:
    if name == "kafka_offset":
        return int(text)
    return f"{datetime.fromisoformat(text):%Y-%m-%dT%H:%M:%S.%fZ}"
