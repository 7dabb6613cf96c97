"""Refreshing the current hour at minute 55 against minute 5, the same arrivals: build, check and promote, in seconds.

Two lakes on one server, the same hour in both, 5 minutes of it published in one and 55 (two million records) in the other; ticks take
turns, so that a change of the machine's speed meets both. Each tick lands 20 s of arrivals and publishes them. Ratio of medians, at most
1.5. Beside it, unjudged: the parts, and the same tick built whole.

What still grows with the hour, of a tick on 2 busy cores: ids for copies (`int_horizon_copies`), the independent count of users (a
check), cells and users of the touched windows, and in promotion the user hours that are replaced (1.3 of 4.8 s at minute 55, 0.5 of 2.8 s
at minute 5; `silver.events` took 0.3 s at both). Distinct users of hour and day, counted again from all user hours, took 1.2 s each at
minute 55 and 0.5 s at minute 5, which is why they are added instead. Measured: see docs/benchmarks.md.
"""

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.figures import report
from local_stack.postgres import create_database, running_postgres
from platform_assets.build import Builder, BuildPlan
from platform_assets.windows import Window
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import append_relation
from tests.fixtures.lakehouse import DbtInProcess, Lakehouse, open_lakehouse

HOUR = datetime(2026, 5, 1, 10, tzinfo=UTC)
EVENTS_PER_SECOND = 610
USERS = 100_000
TICK_SECONDS = 20
ROUNDS = 5


def arrivals(first_second: int, seconds: int) -> str:
    """A query for the bronze rows of these seconds of the hour, landed as one commit. Users come back, as they do."""
    ingested_at = HOUR + timedelta(seconds=first_second + seconds)
    first = first_second * EVENTS_PER_SECOND
    return f"""
    select 'events.raw.v1' as kafka_topic, (n % 4)::integer as kafka_partition, (n // 4)::bigint as kafka_offset,
        occurred as kafka_timestamp, ('u' || person)::blob as key,
        ('{{"event_type":"' || type || '","user_id":"u' || person || '","platform":"' || platform || '","session_id":"s' || n // 30
            || '"}}')::blob as value,
        []::struct(key varchar, value blob)[] as headers,
        md5(n::varchar) as event_id, 'demo' as app_id, type as event_type, 'engagement/1' as contract,
        occurred as occurred_at, occurred as received_at, timestamptz '{ingested_at.isoformat()}' as ingested_at,
        occurred::date as event_date, date_trunc('hour', occurred) as event_hour,
        null::varchar as dlq_stage, null::varchar as rejection_reason
    from (
        select n, hash(n) % {USERS} as person, ['view', 'click', 'like'][1 + (hash(n, 'type') % 3)::bigint] as type,
            ['web', 'ios', 'android'][1 + (hash(n) % 3)::bigint] as platform,
            timestamptz '{HOUR.isoformat()}' + to_microseconds((n * 1000000 / {EVENTS_PER_SECOND})::bigint) as occurred
        from range({first}, {first + seconds * EVENTS_PER_SECOND}) as numbers(n)
    )
    """


@dataclass
class Lake:
    """A lake whose hour goes on from `second`. `seconds_of` gathers what its ticks took, by part."""

    lakehouse: Lakehouse
    second: int = 0
    build_seconds: float = 0.0
    seconds_of: dict[str, list[float]] = field(default_factory=lambda: {"all": [], "build": [], "promote": []})

    @classmethod
    def make(cls, root: Path, server: str, minutes: int) -> "Lake":
        """The hour's first minutes, a commit each, published."""
        settings = StorageSettings(
            database_url=create_database(server, f"minutes_{minutes}"),
            bronze_uri=str(root / "bronze"),
            lake_uri=str(root / "lake"),
            builds_dir=root / "builds",
            extensions_dir=root.parent / "extensions",
        )
        lake = cls(open_lakehouse(settings))
        dbt = DbtInProcess(settings)

        def timed(plan: BuildPlan) -> list[Any]:
            started = time.monotonic()
            events = dbt(plan)
            lake.build_seconds = time.monotonic() - started
            return events

        lake.lakehouse.builder = Builder(
            settings, lake.lakehouse.engine, lake.lakehouse.specs, timed, code_version="benchmark"
        )
        for _ in range(minutes):
            lake.land(60)
        lake.tick(grows=False)
        return lake

    def land(self, seconds: int) -> None:
        """The next seconds of arrivals, as one commit."""
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone='UTC'")
            append_relation(self.lakehouse.settings.bronze_uri, connection.sql(arrivals(self.second, seconds)))
        self.second += seconds

    def tick(self, *, grows: bool) -> float:
        """Seconds from the sensor's look to the publication, for 20 s of arrivals."""
        self.land(TICK_SECONDS)
        started = time.monotonic()
        self.lakehouse.note_arrivals(HOUR)
        outcome = self.lakehouse.builder.publish(Window((HOUR,)), cause="arrival", run_id="run", whole=not grows)
        seconds = time.monotonic() - started
        assert outcome.publication is not None
        assert bool(outcome.plan.cutoffs) == grows
        for part, value in (("all", seconds), ("build", self.build_seconds), ("promote", seconds - self.build_seconds)):
            self.seconds_of[part].append(value)
        return seconds

    def medians(self) -> dict[str, float]:
        """Median seconds of the ticks, by part."""
        return {part: round(statistics.median(values), 2) for part, values in self.seconds_of.items()}

    def forget(self) -> None:
        """Drops what was measured so far."""
        for values in self.seconds_of.values():
            values.clear()


def main() -> int:
    """One figure."""
    with tempfile.TemporaryDirectory() as folder, running_postgres(Path(folder) / "postgres") as server:
        early, late = (Lake.make(Path(folder) / f"minutes_{minutes}", server, minutes) for minutes in (5, 55))
        for lake in (early, late):
            lake.tick(grows=True)
            lake.forget()
        for _ in range(ROUNDS):
            late.tick(grows=True)
            early.tick(grows=True)
        minute_5, minute_55 = early.medians(), late.medians()
        whole = {
            f"whole_minute_{name}": round(lake.tick(grows=False), 2) for name, lake in (("5", early), ("55", late))
        }
        ok = report(
            "refresh_growth_minute_55",
            minute_55["all"],
            minute_5["all"],
            1.5,
            "lower",
            "seconds",
            minute_5=minute_5,
            minute_55=minute_55,
            **whole,
        )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
