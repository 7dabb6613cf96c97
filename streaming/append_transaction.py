"""Adds rows to a Delta table in one commit, whose cost does not grow with the log.

Delta's own writer begins by listing the folder of the log, some 20 µs a file: a second and more where a day of commits lies. Here the
transaction begins at the state that the caller names.
"""

from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from streaming.delta_api import DeltaApi
from streaming.errors import LandingFailedError


@dataclass(frozen=True)
class QueryBatch:
    """Delta's `txn` action: no other driver's commit of the same query may come between a transaction's beginning and its end."""

    query_id: str
    batch_id: int


def append(
    spark: SparkSession, table_uri: str, snapshot: Any, rows: DataFrame, user_metadata: str, batch: QueryBatch | None
) -> int:
    """The new version. `rows` have the table's columns, `snapshot` is Delta's state of the table; without `batch` nobody else commits.

    Raises: LandingFailedError when the table holds the batch; py4j's error of a Delta conflict when another driver committed one of the
    same query meanwhile. Nothing is written then, and a restart finds how far the table is.
    """
    api = DeltaApi(spark)
    transaction = api.log(table_uri).startTransaction(api.none, api.some(snapshot))
    actions = []
    if batch is not None:
        if int(transaction.txnVersion(batch.query_id)) >= batch.batch_id:
            raise LandingFailedError(f"another driver has landed batch {batch.batch_id} of query {batch.query_id}")
        actions.append(api.action({"txn": {"appId": batch.query_id, "version": batch.batch_id}}))
    written = transaction.writeFiles(rows._jdf)
    mode = api.jvm.org.apache.spark.sql.SaveMode.Append
    operation = getattr(api.delta, "DeltaOperations$Write")(
        mode, *[api.none] * 2, api.some(user_metadata), *[api.none] * 5
    )
    return int(transaction.commit(api.seq(actions).appendedAll(written), operation))
