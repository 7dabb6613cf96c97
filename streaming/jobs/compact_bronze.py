"""Compacts closed dates of bronze, beside running landing: `python -m streaming.jobs.compact_bronze`. Dagster's asset calls `compact`.

Landing itself compacts the dates that are still open. Exit codes as land_bronze's.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from runtime.settings import EXIT_CONFIGURATION
from storage.bronze_files import DateFiles, choose_dates, list_date_files
from storage.settings import StorageSettings
from streaming.errors import CompactionError, ConfigurationError
from streaming.settings import StreamingSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from streaming.date_rewrite import DateRewriter
    from streaming.rewrite_transaction import Rewrite

# Small files are mostly footers: written anew a date may fill fewer files than its bytes promised. The second time they are right.
MAX_PASSES = 3


def compact(
    spark: "SparkSession", storage: StorageSettings, settings: StreamingSettings, dates: list[DateFiles]
) -> Iterator["Rewrite"]:
    """Rewrites the dates one by one, each until it has as few files as it should; what it yields is committed.

    A date that cannot be rewritten keeps none of the others back.

    Raises:
        ConfigurationError: a second driver cannot be kept from landing's commits.
        CompactionError: some dates could not be rewritten, at the end.
    """
    from streaming.commit_lock import CommitLock
    from streaming.date_rewrite import DateRewriter
    from streaming.rewrite_transaction import Committer

    lock = CommitLock(spark, storage.bronze_uri)
    if not lock.keeps_others_out:
        raise ConfigurationError(
            f"{storage.bronze_uri} is an object store, where nothing keeps two drivers from each other's commits: "
            "landing compacts closed dates there"
        )
    rewriter = DateRewriter(spark, storage.bronze_uri, Committer(lock))
    failed: dict[date, Exception] = {}
    for item in dates:
        try:
            yield from _rewrite(rewriter, item, settings.compact_target_bytes)
        except Exception as error:  # noqa: BLE001 - whatever it was, the next date may be sound
            failed[item.event_date] = error
    if failed:
        said = "; ".join(f"{day}: {type(error).__name__}: {str(error)[:300]}" for day, error in failed.items())
        raise CompactionError(f"{len(failed)} of {len(dates)} dates could not be rewritten: {said}")


def _rewrite(rewriter: "DateRewriter", date_files: DateFiles, target_bytes: int) -> Iterator["Rewrite"]:
    left = date_files
    for _ in range(MAX_PASSES):
        if not left.is_worth_rewriting(target_bytes):
            return
        rewrite = rewriter.rewrite(date_files.event_date, left.ideal_count(target_bytes))
        yield rewrite
        left = DateFiles(date_files.event_date, rewrite.files_after, rewrite.bytes_after)


def main() -> int:
    """Returns the exit code."""
    from streaming.session import build_spark

    storage, settings = StorageSettings(), StreamingSettings().of_compaction()
    dates = choose_dates(
        list_date_files(storage),
        now=datetime.now(UTC),
        target_bytes=settings.compact_target_bytes,
        limit=settings.compact_dates_per_run,
    )
    if not dates:
        return 0
    spark = build_spark(settings, "tidemark-compact-bronze")
    try:
        for rewrite in compact(spark, storage, settings, dates):
            print(f"{rewrite.event_date}: {rewrite.files_before} files became {rewrite.files_after}")  # noqa: T201 - a command
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command
        return EXIT_CONFIGURATION
    finally:
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
