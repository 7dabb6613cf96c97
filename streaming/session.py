"""Builds the Spark session of the landing driver. Called by jobs, `tidemark recover` and tests; nobody else starts a JVM.

The JVM is a child that reads our standard input's pipe: it ends when this process ends, however that happens.
"""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streaming.settings import StreamingSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Spark loads some 190 MiB of classes; from the JVM's default of 21 each growth on the way there is a full collection.
METASPACE_OPTION = "-XX:MetaspaceSize=192m"
PARQUET_ROW_GROUP_BYTES = 32 * 1024 * 1024
# Nearly every row has a value of its own here: a dictionary is filled, found too large, and thrown away.
DISTINCT_COLUMNS = (
    "value",
    "event_id",
    "kafka_offset",
    "kafka_timestamp",
    "occurred_at",
    "received_at",
)
# Nobody looks for a range of these: no least and greatest value is kept.
PAYLOAD_COLUMNS = ("key", "value")

# Without native libraries Hadoop runs a `chmod` process for each local file it makes, and a checksum file doubles them:
# 12.6 ms a file against 3.7 ms. Spark's FileContext manager would run `readlink` as well for each checkpoint file.
# Delta's default store writes a file of its log by way of that FileContext: 15 to 20 ms against 4 to 5. This one looks for the
# name and then renames, in two steps: what stops a second driver is the lock around commits (streaming.commit_lock).
# Not where there is state: RocksDB's snapshots are copied by way of the file system with checksums, and every upload of one failed with a
# ClassCastException that Spark only logs, so that a start read all changes since the checkpoint's beginning.
LOCAL_FILE_OPTIONS = {
    "spark.delta.logStore.file.impl": "io.delta.storage.LocalLogStore",
    "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
    "spark.hadoop.fs.AbstractFileSystem.file.impl": "org.apache.hadoop.fs.local.RawLocalFs",
    "spark.sql.streaming.checkpointFileManagerClass": (
        "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
    ),
}


# Keys in the environment first, as AWS's own tools have it.
S3_CREDENTIAL_PROVIDERS = (
    "software.amazon.awssdk.auth.credentials.EnvironmentVariableCredentialsProvider",
    "software.amazon.awssdk.auth.credentials.ProfileCredentialsProvider",
)


def spark_options(settings: StreamingSettings) -> dict[str, str]:
    """Every Spark setting that differs from Spark's default."""
    options = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "WARN",
        "spark.driver.memory": f"{settings.driver_memory_mb}m",
        "spark.driver.extraJavaOptions": f"-XX:+UseParallelGC {METASPACE_OPTION} -XX:+ExitOnOutOfMemoryError -Duser.timezone=UTC "
        f"-Djdk.lang.Process.launchMechanism=VFORK {_java_options(settings)}".rstrip(),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.shuffle.partitions": str(settings.shuffle_partitions),
        "spark.default.parallelism": str(settings.shuffle_partitions),
        # VACUUM lists folders in so many tasks: by default ten thousand, minutes of nothing.
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": str(settings.shuffle_partitions),
        # Re-planning between stages costs more than one-second batches can win by it.
        "spark.sql.adaptive.enabled": "false",
        # What commits beside the batches has a pool of its own: first come, first served, a batch would wait for its tasks.
        "spark.scheduler.mode": "FAIR",
        "spark.sql.streaming.numRecentProgressUpdates": "2",
        "spark.sql.ui.retainedExecutions": "2",
        "spark.ui.retainedJobs": "10",
        "spark.ui.retainedStages": "10",
        "spark.ui.retainedTasks": "100",
        # The newer Kafka reader of Spark 4.1.1 ends a query with a NullPointerException in its metrics when the query begins by
        # repeating a batch, which is what every start after a kill does.
        "spark.sql.streaming.disabledV2MicroBatchReaders": "org.apache.spark.sql.kafka010.KafkaSourceProvider",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # Default 50 tasks to rebuild a snapshot; one takes a 50,000-row batch from 2.7 s to 0.75 s.
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.databricks.delta.autoCompact.enabled": "false",
        "spark.databricks.delta.vacuum.logging.enabled": "false",
        # Or VACUUM ignores the hours that it is told, with a warning.
        "spark.databricks.delta.vacuum.retentionWindowIgnore.enabled": "false",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.hadoop.parquet.compression.codec.zstd.level": "1",
        "spark.hadoop.parquet.block.size": str(PARQUET_ROW_GROUP_BYTES),
        **{f"spark.hadoop.parquet.enable.dictionary#{column}": "false" for column in DISTINCT_COLUMNS},
        **{f"spark.hadoop.parquet.column.statistics.enabled#{column}": "false" for column in PAYLOAD_COLUMNS},
        "spark.hadoop.parquet.size.statistics.enabled": "false",
        # INT96 (the default) carries no statistics and is read through nanoseconds, which end in 2262.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
        # A few open files per task instead of a sort of whole records by date.
        "spark.sql.maxConcurrentOutputFileWriters": "8",
    }
    # Hadoop's own list of credential providers has no profile, and it takes no region from the environment.
    if settings.aws_region:
        options["spark.hadoop.fs.s3a.endpoint.region"] = settings.aws_region
    if settings.aws_profile:
        options["spark.hadoop.fs.s3a.aws.credentials.provider"] = ",".join(S3_CREDENTIAL_PROVIDERS)
    if settings.scratch_dir:
        options["spark.local.dir"] = settings.scratch_dir
    if not _is_remote(settings.checkpoint_dir):
        options |= LOCAL_FILE_OPTIONS
        if settings.has_state:
            del options["spark.hadoop.fs.file.impl"]
    if settings.master.startswith("local"):
        options |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    if settings.jars:
        # The class path rather than spark.jars: nothing is copied, and no file server listens.
        options["spark.driver.extraClassPath"] = settings.jars
    return options


def _java_options(settings: StreamingSettings) -> str:
    """More options for the driver's JVM: the caller's, where it unpacks its libraries, AWS's profile, and the class archive."""
    options = [settings.driver_java_options]
    if settings.scratch_dir:
        options.append(f'"-Djava.io.tmpdir={settings.scratch_dir}"')
    if settings.aws_profile:
        options.append(f"-Daws.profile={settings.aws_profile}")
    # One that does not fit is passed over, with a warning; for one that is missing Java does without its own archive too.
    if settings.class_archive and Path(settings.class_archive).exists():
        options.append(f'"-XX:SharedArchiveFile={settings.class_archive}" -Xlog:cds*=error')
    return " ".join(options).strip()


def build_spark(settings: StreamingSettings, app_name: str = "tidemark") -> "SparkSession":
    """The session, made or reused. Takes 4–8 s when a JVM must start."""
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    # PySpark prints every failed statement a second time, as one line of JSON of ten thousand characters.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)
    os.environ.setdefault("SPARK_LOCAL_HOSTNAME", "localhost")
    options = spark_options(settings)
    if settings.scratch_dir:  # the JVM makes no temporary folder of its own
        Path(settings.scratch_dir).mkdir(parents=True, exist_ok=True)
    if SparkContext._gateway is None:
        # A session of its own: a SIGTERM to our process group must not cut off the batch that we are asked to finish.
        configuration = SparkConf().setAppName(app_name).setMaster(settings.master).setAll(list(options.items()))
        launch: Any = launch_gateway
        gateway = launch(configuration, {"start_new_session": True})
        keep_niceness(gateway.proc.pid)
        SparkContext._ensure_initialized(gateway=gateway, conf=configuration)
    builder: Any = SparkSession.builder
    builder = builder.appName(app_name).master(settings.master)
    for name, value in options.items():
        builder = builder.config(name, value)
    session: SparkSession = builder.getOrCreate()
    return session


def keep_niceness(pid: int) -> None:
    """Gives a new session our niceness. Linux may schedule sessions against each other, by a value that starts at 0."""
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(os.getpriority(os.PRIO_PROCESS, 0)))
    except OSError:
        return


def driver_process(spark: "SparkSession") -> Any:
    """The JVM as a Popen, or None when spark-submit started it."""
    return getattr(spark.sparkContext._gateway, "proc", None)


def _is_remote(uri: str) -> bool:
    return "://" in uri and not uri.startswith("file://")
