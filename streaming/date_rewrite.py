"""Writes a closed date of bronze anew as fewer files, rows in the order they occurred. No row is added, changed or lost.

Delta's own OPTIMIZE does not sort, its Z-ordering sorts by buckets only, and both commit in the call that reads and writes for seconds.
Here that is done first, in Delta's own transaction, and the commit lock is held for the commit alone: landing goes on meanwhile.
"""

import json
import time
from datetime import date

from pyspark.sql import SparkSession

from streaming.rewrite_transaction import Committer, Rewrite, RewriteTransaction
from streaming.schemas import PARTITION_COLUMN, REWRITE_ORDER

# Delta wants rows by partition first and sorts them itself, without the rest, when they are not.
SORT_COLUMNS = (PARTITION_COLUMN, *REWRITE_ORDER)


class DateRewriter:
    """Rewrites dates of one table, whatever their size, by Spark."""

    def __init__(self, spark: SparkSession, table_uri: str, committer: Committer) -> None:
        self._spark = spark
        self._table_uri = table_uri
        self._committer = committer

    def rewrite(self, event_date: date, file_count: int) -> Rewrite:
        """The files that the date has at the newest version as `file_count` ones at most. Files that land meanwhile stay as they are.

        Raises: what RewriteTransaction.commit raises.
        """
        transaction = RewriteTransaction(self._spark, self._table_uri, event_date)
        old = transaction.files()
        rows = transaction.read(old)
        rows = rows.repartition(1) if file_count == 1 else rows.repartitionByRange(file_count, "occurred_at")
        new = transaction.write(rows.sortWithinPartitions(*SORT_COLUMNS))
        removed_at_ms = int(time.time() * 1000)
        changed = [*new, *(file.removeWithTimestamp(removed_at_ms, False) for file in old)]
        version, locked_seconds = self._committer.commit(transaction, (json.loads(action.json()) for action in changed))
        return Rewrite(
            event_date=event_date,
            version=version,
            files_before=len(old),
            files_after=len(new),
            bytes_before=sum(int(file.size()) for file in old),
            bytes_after=sum(int(file.size()) for file in new),
            locked_seconds=locked_seconds,
        )
