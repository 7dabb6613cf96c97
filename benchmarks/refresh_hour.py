"""Refreshing one hour with ten times the history against one time: build, check and promote, in seconds.

Two lakes on one server, the same hour in both, one with 10 days of history before it and one with 100 days; refreshes take turns, so
that a change of the machine's speed meets both. Each refresh reads one new record. Ratio of medians, at most 1.2.
Measured on 2 cores: see docs/benchmarks.md.
"""

import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from benchmarks.figures import report
from local_stack.postgres import create_database, running_postgres
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import append_relation, engagement_row
from tests.fixtures.lakehouse import Lakehouse, open_lakehouse

HOUR = datetime(2026, 5, 1, 10, tzinfo=UTC)
ROWS_PER_DAY = 12_000
ROUNDS = 5


def history(days: int) -> str:
    """A query for bronze rows: `days` days before the hour, the hour included, evenly spread."""
    return f"""
    select 'events.raw.v1' as kafka_topic, (n % 4)::integer as kafka_partition, n::bigint as kafka_offset,
        occurred as kafka_timestamp, ('u' || n % 5000)::blob as key,
        ('{{"event_type":"view","user_id":"u' || n % 5000 || '","platform":"web"}}')::blob as value,
        []::struct(key varchar, value blob)[] as headers,
        'e' || n as event_id, 'demo' as app_id, 'view' as event_type, 'engagement/1' as contract,
        occurred as occurred_at, occurred as received_at, occurred as ingested_at,
        occurred::date as event_date, date_trunc('hour', occurred) as event_hour,
        null::varchar as dlq_stage, null::varchar as rejection_reason
    from (
        select n, timestamptz '{HOUR + timedelta(minutes=30)}' - to_microseconds((n * 86400000000 / {ROWS_PER_DAY})::bigint) as occurred
        from range({days * ROWS_PER_DAY}) as numbers(n)
    )
    """


def make_lake(root: Path, server: str, days: int) -> Lakehouse:
    """A lake with the history in bronze, and everything published."""
    settings = StorageSettings(
        database_url=create_database(server, f"history_{days}"),
        bronze_uri=str(root / "bronze"),
        lake_uri=str(root / "lake"),
        builds_dir=root / "builds",
        extensions_dir=root.parent / "extensions",
    )
    lakehouse = open_lakehouse(settings)
    connection = duckdb.connect()
    connection.execute("SET TimeZone='UTC'")
    append_relation(settings.bronze_uri, connection.sql(history(days)))
    first = HOUR - timedelta(days=days)
    lakehouse.publish(first + timedelta(hours=index) for index in range(days * 24 + 1))
    return lakehouse


def refresh(lakehouse: Lakehouse, round_number: int) -> float:
    """Seconds from a new record in bronze to its publication."""
    record = engagement_row(50_000_000 + round_number, HOUR, f"new{round_number}", ingested_at=HOUR + timedelta(days=1))
    lakehouse.land([record])
    started = time.monotonic()
    outcome = lakehouse.publish([HOUR])
    assert outcome.publication is not None
    return time.monotonic() - started


def main() -> int:
    """One figure."""
    with tempfile.TemporaryDirectory() as folder, running_postgres(Path(folder) / "postgres") as server:
        small, large = (make_lake(Path(folder) / f"days_{days}", server, days) for days in (10, 100))
        refresh(small, 0), refresh(large, 0)
        seconds: dict[str, list[float]] = {"large": [], "small": []}
        for round_number in range(1, ROUNDS + 1):
            seconds["large"].append(refresh(large, round_number))
            seconds["small"].append(refresh(small, round_number))
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        ok = report("refresh_hour_10x_history", medians["large"], medians["small"], 1.2, "lower", "seconds")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
