"""Adds rows to a Delta table in one commit, whose cost does not grow with the log.

Delta's own writer begins by listing the folder of the log, some 20 µs a file: a second and more where a day of commits lies. Here the
transaction begins at the newest state that this driver has seen. Where another driver committed since, the next version's log file is
there already, and Delta looks the newer commits up, as it does for any commit that lost a race.
"""

from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession

from streaming.delta_api import DeltaApi


@dataclass(frozen=True)
class QueryBatch:
    """Delta's `txn` action: no other driver's commit of the same query may come between a transaction's beginning and its end."""

    query_id: str
    batch_id: int


def append(spark: SparkSession, table_uri: str, rows: DataFrame, user_metadata: str, batch: QueryBatch | None) -> int:
    """The new version. `rows` have the table's columns; the caller keeps others from committing where `batch` is None.

    Of a batch that the table holds already nothing is written, and the version is the one that was found.

    Raises: py4j's error of a Delta conflict when another driver committed the same query's batch meanwhile.
    """
    api = DeltaApi(spark)
    log = api.log(table_uri)
    transaction = log.startTransaction(api.none, api.some(log.unsafeVolatileSnapshot()))
    actions = []
    if batch is not None:
        if int(transaction.txnVersion(batch.query_id)) >= batch.batch_id:
            return int(transaction.snapshot().version())
        actions.append(api.action({"txn": {"appId": batch.query_id, "version": batch.batch_id}}))
    written = transaction.writeFiles(rows._jdf)
    mode = api.jvm.org.apache.spark.sql.SaveMode.Append
    operation = getattr(api.delta, "DeltaOperations$Write")(
        mode, *[api.none] * 2, api.some(user_metadata), *[api.none] * 5
    )
    return int(transaction.commit(api.seq(actions).appendedAll(written), operation))
