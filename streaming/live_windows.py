"""The live windows as a stateful Spark query: copies dropped within the watermark, cells of one minute, their newest values.

Holds the query's plan and settings. Spark keeps keys, aggregates and the order of the two operators in its state: where one of them
changes, an old checkpoint cannot be read, or is read as something else. Raise PLAN_VERSION then: the next start refuses what an older plan
wrote, and names the way on (docs/live-windows.md). A test compares what Spark writes with what this version wrote.
"""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - Spark's own convention

from streaming.live_events import to_cells

# 1.6 % standard error in 4 KiB; up to some 500 users a sketch holds them one by one.
SKETCH_LG_K = 12
PLAN_VERSION = 1
STATE_OPTIONS = {
    "spark.sql.streaming.stateStore.providerClass": (
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
    ),
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    "spark.sql.streaming.stateStore.rocksdb.boundedMemoryUsage": "true",
    "spark.sql.streaming.stateStore.rocksdb.maxMemoryUsageMB": "96",
    # A count of all keys at every commit, for a metric that nobody reads.
    "spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows": "false",
    "spark.sql.streaming.minBatchesToRetain": "10",
    # State is cleaned by the next batch with records; a batch without any would cost as much as one with.
    "spark.sql.streaming.noDataMicroBatches.enabled": "false",
}


def live_session(spark: SparkSession, shuffle_partitions: int) -> SparkSession:
    """A session of its own in the same JVM: the state's settings touch no other query."""
    session = spark.newSession()
    for name, value in STATE_OPTIONS.items():
        session.conf.set(name, value)
    session.conf.set("spark.sql.shuffle.partitions", str(shuffle_partitions))
    return session


def to_minutes(live: DataFrame, watermark_seconds: int) -> DataFrame:
    """The cells that a batch changed, each with its whole value so far: writing one twice changes nothing.

    One row per minute, application, breakdown and keys.
    """
    once = live.withWatermark("clock", f"{watermark_seconds} seconds").dropDuplicatesWithinWatermark(
        ["app_id", "event_id"]
    )
    return (
        to_cells(once)
        .groupBy(F.window("clock", "1 minute"), "app_id", "breakdown", "keys")
        .agg(
            F.count(F.lit(1)).alias("event_count"),
            *[F.sum(name).alias(f"{name}_count") for name in ("success", "failed", "cancelled")],
            *[F.sum(name).alias(name) for name in ("size_mb", "duration_seconds", "speed_mbps")],
            F.max("title").alias("title"),
            F.hll_sketch_agg("user_id", F.lit(SKETCH_LG_K)).alias("users_sketch"),
        )
        .select(
            F.unix_seconds("window.start").alias("minute"),
            "app_id",
            "breakdown",
            "keys",
            "event_count",
            "success_count",
            "failed_count",
            "cancelled_count",
            "size_mb",
            "duration_seconds",
            "speed_mbps",
            "title",
            "users_sketch",
        )
    )
