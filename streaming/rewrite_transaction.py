"""Delta's transaction for a rewrite: files of one date of bronze give way to fewer with the same rows, in a commit that changes no data.

The commit is an OPTIMIZE with `dataChange=false`: Delta checks it against what was deleted since its beginning, never against what was
appended. The caller holds the commit lock for it.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from pyspark.sql import DataFrame, SparkSession

from streaming.bronze_table import BronzeTable
from streaming.delta_api import DeltaApi
from streaming.schemas import PARTITION_COLUMN

USER_METADATA_OPTION = "spark.databricks.delta.commitInfo.userMetadata"
Action = dict[str, dict[str, Any]]


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


class Committer:
    """How a rewriter commits: under the lock, when everything is written. `before_commit` is the tests'."""

    def __init__(self, lock: Lock, *, before_commit: Callable[[], None] = lambda: None) -> None:
        self._lock = lock
        self._before_commit = before_commit

    def commit(self, transaction: "RewriteTransaction", actions: Iterable[Action]) -> tuple[int, float]:
        """The new version, and the seconds for which commits of landing had to wait. Raises what RewriteTransaction.commit raises."""
        prepared = transaction.to_actions(actions)
        self._before_commit()
        with self._lock.hold():
            started = time.monotonic()
            version = transaction.commit(prepared)
            return version, time.monotonic() - started


class RewriteTransaction:
    """Begun when it is made, at the newest version."""

    def __init__(self, spark: SparkSession, table_uri: str, event_date: date) -> None:
        self._spark = spark
        self._table = BronzeTable(spark, table_uri)
        self._api = DeltaApi(spark)
        self._log = self._api.log(self._table.uri)
        self._transaction = self._log.startTransaction(self._api.none, self._api.none)
        parser = spark._jsparkSession.sessionState().sqlParser()
        self._predicate = parser.parseExpression(f"{PARTITION_COLUMN} = DATE'{event_date:%Y-%m-%d}'")

    @property
    def version(self) -> int:
        """The version that it sees."""
        return int(self._transaction.snapshot().version())

    def files(self) -> list[Any]:
        """Delta's own actions of the date's live files."""
        return _items(self._transaction.filterFiles(self._api.seq([self._predicate]), True))

    def read(self, files: list[Any]) -> DataFrame:
        """The rows of such files."""
        rows = self._log.createDataFrame(self._transaction.snapshot(), self._api.seq(files), False, self._api.none)
        return DataFrame(rows, self._spark)

    def write(self, rows: DataFrame) -> list[Any]:
        """Files of the table with these rows, in their order; live with the commit only."""
        return _items(self._transaction.writeFiles(rows._jdf, self._api.none, True, self._api.seq([])))

    def to_actions(self, actions: Iterable[Action]) -> Any:
        """What `commit` takes."""
        return self._api.seq(self._api.action(_without_data_change(action)) for action in actions)

    def commit(self, actions: Any) -> int:
        """The new version. Carries the newest landing metadata on, which stands still while the lock is held.

        Raises: py4j's error of a Delta conflict when another rewrite took one of the files; nothing is changed then.
        """
        newest = self._table.read_newest_metadata()
        operation = getattr(self._api.delta, "DeltaOperations$Optimize")(
            self._api.seq([self._predicate]), self._api.seq([]), False, self._api.none, False
        )
        if newest is not None:
            self._spark.conf.set(USER_METADATA_OPTION, newest.to_json())
        try:
            return int(self._transaction.commit(actions, operation))
        finally:
            self._spark.conf.unset(USER_METADATA_OPTION)


def _items(seq: Any) -> list[Any]:
    return [seq.apply(index) for index in range(seq.size())]


def _without_data_change(action: Action) -> Action:
    return {name: {**fields, "dataChange": False} for name, fields in action.items()}
