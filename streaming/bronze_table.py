"""The Delta table of raw records, as the driver sees it: making it, its newest landing metadata, and a full count of offsets.

Rows are added by streaming.writers only; streaming.date_rewrite and streaming.open_date_rewrite write them anew.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - Spark's own convention

from streaming.append_transaction import QueryBatch, append
from streaming.commit_metadata import CommitMetadata, Offsets, parse_commit_metadata
from streaming.delta_api import DeltaApi
from streaming.errors import LandingFailedError
from streaming.files import Files, resolve_uri
from streaming.schemas import bronze_ddl

METADATA_SEARCH_DEPTH = 200


@dataclass(frozen=True)
class PartitionCount:
    """What bronze holds of one Kafka partition. Complete when `row_count` equals the length of the offset range."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    row_count: int
    offset_count: int

    @property
    def is_contiguous(self) -> bool:
        """Every offset of the range once."""
        return self.row_count == self.offset_count == self.last_offset - self.first_offset + 1


class BronzeTable:
    """One table, by path or URI."""

    def __init__(self, spark: SparkSession, uri: str) -> None:
        self._spark = spark
        self._files = Files(spark)
        self._api = DeltaApi(spark)
        self._checkpointed = -1
        self._appended: int | None = None
        self._has_checked_columns = False
        self.uri = resolve_uri(uri)

    def exists(self) -> bool:
        """Whether a Delta table is there."""
        return self.version() is not None

    def create(self) -> None:
        """Makes the table with its properties unless it is there."""
        if not self.exists():
            self._spark.sql(bronze_ddl(f"delta.`{self.uri}`"))

    def append(
        self,
        rows: DataFrame,
        metadata: str,
        batch: QueryBatch | None,
        check_foreign: Callable[[], None] = lambda: None,
    ) -> int:
        """The version with the rows added; the caller holds the commit lock, or names its batch where there is none.

        `check_foreign` is called before, where the newest commit is none that this made: whatever looked at the log meanwhile.

        Raises: LandingFailedError when the rows' columns are not the table's, what `check_foreign` raises, and what
        streaming.append_transaction.append raises.
        """
        if not self._has_checked_columns:
            self._check_columns(rows)
        known = self._log().unsafeVolatileSnapshot()
        newest = self._newest_version()
        if newest != self._appended:
            check_foreign()
        # Listed only when another driver has committed, or might while nothing keeps it from it.
        is_known = batch is None and newest == int(known.version())
        self._appended = append(self._spark, self.uri, known if is_known else self._update(), rows, metadata, batch)
        return self._appended

    def version(self) -> int | None:
        """The newest version, or None without a table."""
        version = int(self._update().version())
        return None if version < 0 else version

    def commits_since_checkpoint(self) -> int:
        """Commits that a reader of the log parses one by one, as far as this driver knows."""
        snapshot = self._log().unsafeVolatileSnapshot()
        newest = max(int(snapshot.logSegment().checkpointProvider().version()), self._checkpointed)
        return int(snapshot.version()) - max(newest, 0)

    def checkpoint(self, storage_options: dict[str, str] | None = None) -> None:
        """Writes the state of the table beside the log. Batches may go on meanwhile.

        By delta-rs, with its storage options: Spark makes a query of it, whose code is generated and compiled anew each time.
        Raises what delta-rs and Delta raise; the log is as readable as before, and `commits_since_checkpoint` counts from this attempt.
        """
        from deltalake import DeltaTable

        self._checkpointed = int(self._log().unsafeVolatileSnapshot().version())
        DeltaTable(self.uri, storage_options=storage_options).create_checkpoint()

    def trim_log(self) -> None:
        """Deletes the files of the log that are older than `delta.logRetentionDuration`, by whole hours, up to a checkpoint. Idempotent.

        Delta's own clean-up goes by whole days, which keeps up to twice a day. The state that this driver appends to rests on the newest
        checkpoint after it, and no longer on every commit since.
        """
        snapshot = self._update()
        log, hour = self._log(), getattr(self._api.delta, "TruncationGranularity$").__getattr__("MODULE$").HOUR()
        if log.enableExpiredLogCleanup(snapshot.metadata()):
            log.cleanUpExpiredLogs(snapshot, self._api.none, self._api.none, hour)

    def read(self) -> DataFrame:
        """All rows at the newest version."""
        return self._spark.read.format("delta").load(self.uri)

    def read_newest_metadata(self) -> CommitMetadata | None:
        """What the newest landing commit says, or None when nothing has landed yet.

        Foreign commits (a table property, say) are stepped over. When the log has been trimmed down to them, the rows
        themselves are asked.
        """
        newest = self._newest_version()
        for version in range(newest, max(newest - METADATA_SEARCH_DEPTH, -1), -1):
            text = self._files.read_text(self._commit_uri(version))
            if text is None:
                break
            metadata = parse_commit_metadata(_user_metadata(text))
            if metadata is not None:
                return metadata
            if version == 0:
                return None
        return None if newest < 0 else self._metadata_from_rows()

    def count_partitions(self) -> list[PartitionCount]:
        """Offsets per topic and partition, from the rows: exact, and reads three columns of the whole table."""
        rows = (
            self.read()
            .groupBy("kafka_topic", "kafka_partition")
            .agg(
                F.min("kafka_offset").alias("first_offset"),
                F.max("kafka_offset").alias("last_offset"),
                F.count(F.lit(1)).alias("row_count"),
                F.countDistinct("kafka_offset").alias("offset_count"),
            )
            .orderBy("kafka_topic", "kafka_partition")
            .collect()
        )
        return [PartitionCount(*row) for row in rows]

    def _check_columns(self, rows: DataFrame) -> None:
        """Delta's transaction takes what it is given; only its own writer would look."""
        wanted, found = (
            {(field.name, field.dataType.simpleString()) for field in frame.schema} for frame in (self.read(), rows)
        )
        if wanted != found:
            names = ", ".join(sorted({name for name, _ in wanted ^ found}))
            raise LandingFailedError(f"what is to land differs from {self.uri} in these columns: {names}")
        self._has_checked_columns = True

    def _metadata_from_rows(self) -> CommitMetadata | None:
        counts = self.count_partitions()
        if not counts:
            return None
        micros = self.read().agg(F.unix_micros(F.max("ingested_at")).alias("micros")).collect()[0]["micros"]
        last = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros)
        return CommitMetadata(query="live", batch_id=-1, ingested_at=last, offsets=landed_offsets(counts), topic_ids={})

    def _log(self) -> Any:
        return self._api.log(self.uri)

    def _update(self) -> Any:
        """The newest state. Delta lists the log's folder for it, some 20 µs a file."""
        return self._log().update(False, self._api.none, self._api.none)

    def _newest_version(self) -> int:
        """As `version`, without listing: from the state that this driver knows to the last commit that follows it. -1 without a table."""
        version = int(self._log().unsafeVolatileSnapshot().version())
        while self._files.exists(self._commit_uri(version + 1)):
            version += 1
        return version

    def _commit_uri(self, version: int) -> str:
        return f"{self.uri}/_delta_log/{version:020d}.json"


def landed_offsets(counts: list[PartitionCount]) -> Offsets:
    """The highest offset per topic and partition."""
    landed: Offsets = {}
    for count in counts:
        landed.setdefault(count.topic, {})[count.partition] = count.last_offset
    return landed


def _user_metadata(commit: str) -> str | None:
    """The userMetadata of a commit file: in its commitInfo action, which Delta writes first."""
    for line in commit.splitlines():
        if '"commitInfo"' in line:
            info = json.loads(line).get("commitInfo", {})
            return info.get("userMetadata")  # type: ignore[no-any-return]
    return None
