"""Writes files of one date of bronze anew as fewer, rows in the order they occurred. No row is added, changed or lost.

Delta's own OPTIMIZE does not sort, its Z-ordering sorts by buckets only, and both commit in the call that reads and writes for seconds.
Here that is done first, in Delta's own transaction, and the commit lock is held for the commit alone: landing goes on meanwhile. The
commit is an OPTIMIZE with `dataChange=false`: Delta checks it against what was deleted since, never against what was appended.
"""

import json
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from pyspark.sql import DataFrame, SparkSession

from streaming.bronze_table import BronzeTable
from streaming.schemas import PARTITION_COLUMN

USER_METADATA_OPTION = "spark.databricks.delta.commitInfo.userMetadata"

# Delta wants rows by partition first and sorts them itself, without the rest, when they are not. Places make the order whole.
SORT_COLUMNS = (PARTITION_COLUMN, "occurred_at", "kafka_topic", "kafka_partition", "kafka_offset")


class Lock(Protocol):
    """What keeps others from committing."""

    def hold(self) -> AbstractContextManager[None]:
        """For as long as the block lasts."""


@dataclass(frozen=True)
class Rewrite:
    """What became of a date: its files and bytes before and after, and how long commits of landing had to wait."""

    event_date: date
    version: int
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    locked_seconds: float


class DateRewriter:
    """Rewrites dates of one table."""

    def __init__(
        self,
        spark: SparkSession,
        table_uri: str,
        lock: Lock,
        *,
        before_commit: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spark = spark
        self._table = BronzeTable(spark, table_uri)
        self._lock = lock
        self._before_commit = before_commit
        self._clock = clock
        jvm: Any = spark.sparkContext._jvm
        self._jvm = jvm
        self._delta = jvm.org.apache.spark.sql.delta
        self._none = getattr(jvm.scala, "None$").__getattr__("MODULE$")

    def rewrite(self, event_date: date, file_count: int, *, smaller_than: int | None = None) -> Rewrite:
        """The files that the date has at the newest version as `file_count` ones at most; with `smaller_than` only those of fewer bytes.

        Files that land meanwhile stay as they are.

        Raises: py4j's error of a Delta conflict when another rewrite took one of the files; nothing is changed then.
        """
        log = self._delta.DeltaLog.forTable(self._spark._jsparkSession, self._table.uri)
        transaction = log.startTransaction(self._none, self._none)
        predicate = self._expression(f"{PARTITION_COLUMN} = DATE'{event_date:%Y-%m-%d}'")
        old = [
            file
            for file in _items(transaction.filterFiles(self._seq([predicate]), True))
            if smaller_than is None or int(file.size()) < smaller_than
        ]
        rows = DataFrame(log.createDataFrame(transaction.snapshot(), self._seq(old), False, self._none), self._spark)
        rows = rows.repartition(1) if file_count == 1 else rows.repartitionByRange(file_count, "occurred_at")
        rows = rows.sortWithinPartitions(*SORT_COLUMNS)
        new = _items(transaction.writeFiles(rows._jdf, self._none, True, self._seq([])))
        removed_at_ms = int(time.time() * 1000)
        actions = [self._without_data_change(file) for file in new]
        actions += [file.removeWithTimestamp(removed_at_ms, False) for file in old]
        self._before_commit()
        with self._lock.hold():
            started = self._clock()
            version = self._commit(transaction, actions, predicate)
            locked_seconds = self._clock() - started
        return Rewrite(
            event_date=event_date,
            version=version,
            files_before=len(old),
            files_after=len(new),
            bytes_before=sum(int(file.size()) for file in old),
            bytes_after=sum(int(file.size()) for file in new),
            locked_seconds=locked_seconds,
        )

    def _commit(self, transaction: Any, actions: list[Any], predicate: Any) -> int:
        """The new version. Carries the newest landing metadata on, which stands still while the lock is held."""
        newest = self._table.read_newest_metadata()
        operation = getattr(self._delta, "DeltaOperations$Optimize")(
            self._seq([predicate]), self._seq([]), False, self._none, False
        )
        if newest is not None:
            self._spark.conf.set(USER_METADATA_OPTION, newest.to_json())
        try:
            return int(transaction.commit(self._seq(actions), operation))
        finally:
            self._spark.conf.unset(USER_METADATA_OPTION)

    def _without_data_change(self, file: Any) -> Any:
        """The action by way of its JSON, which is Delta's protocol; its Scala constructor changes from release to release."""
        action = json.loads(file.json())
        action["add"]["dataChange"] = False
        return self._delta.actions.Action.fromJson(json.dumps(action))

    def _expression(self, text: str) -> Any:
        return self._spark._jsparkSession.sessionState().sqlParser().parseExpression(text)

    def _seq(self, items: Iterable[Any]) -> Any:
        found = self._jvm.java.util.ArrayList()
        for item in items:
            found.add(item)
        return self._jvm.scala.jdk.javaapi.CollectionConverters.asScala(found).toSeq()


def _items(seq: Any) -> list[Any]:
    return [seq.apply(index) for index in range(seq.size())]
