"""Compacts bronze while landing is stopped: `python -m streaming.jobs.compact_bronze`. Running landing compacts by itself.

One date after the other until none has many small files; prints one line per date. Exit codes as land_bronze's.
"""

import sys
import threading

from runtime.settings import EXIT_CONFIGURATION
from storage.settings import StorageSettings
from streaming.errors import EXIT_FAILED
from streaming.settings import StreamingSettings

MAX_DATES = 10_000


def main() -> int:
    """Returns the exit code."""
    from streaming.bronze_table import BronzeTable
    from streaming.checkpoints import Checkpoints
    from streaming.compaction import Compactor
    from streaming.files import Files
    from streaming.session import build_spark

    storage, settings = StorageSettings(), StreamingSettings()
    spark = build_spark(settings, "tidemark-compact-bronze")
    try:
        if Checkpoints(Files(spark), settings.checkpoint_dir).lock_driver() is None:
            print("land_bronze is running and compacts bronze by itself", file=sys.stderr)  # noqa: T201 - a command
            return EXIT_CONFIGURATION
        table = BronzeTable(spark, storage.bronze_uri)
        newest = table.read_newest_metadata()
        if newest is None:
            return 0
        compactor = Compactor(spark, table, threading.Lock(), lambda: newest, settings)
        for _ in range(MAX_DATES):
            date = compactor.compact_once()
            if date is None:
                return 0
            print(f"compacted {date}")  # noqa: T201 - a command
        return EXIT_FAILED
    finally:
        spark.stop()


if __name__ == "__main__":
    sys.exit(main())
