"""Publishes given events to a real lake without bronze and dbt: gold is counted by SQL in a build file, promotion is the product's own.

For tests and benchmarks of the readers' side. What dbt makes of bronze is tested elsewhere.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import Engine

from storage.control import make_engine
from storage.lake import DEFAULT_MANIFEST, open_lake
from storage.promotion import Candidate, promote, writer_lock
from storage.publications import Publication, latest
from storage.settings import StorageSettings
from storage.tables import TableSpec, load_table_specs

EVENT_TYPES = ("click", "like", "comment", "share", "view")
PLATFORMS = ("web", "ios", "android", "mobile_web")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GRAINS = {"agg_5min_events": "5 minutes", "agg_hour_events": "1 hour", "agg_day_events": "1 day"}


@dataclass(frozen=True)
class Event:
    """One silver event, as far as the API reads it."""

    occurred_at: datetime
    user_id: str = "u1"
    event_type: str = "view"
    platform: str | None = "web"
    app_id: str = "public"
    family: str = "engagement"

    @property
    def hour(self) -> datetime:
        """Its UTC hour."""
        return self.occurred_at.replace(minute=0, second=0, microsecond=0)


def random_events(rng: random.Random, number: int, start: datetime, span: timedelta, users: int = 30) -> list[Event]:
    """Events of two apps and two families; many lie exactly on the bounds of windows, hours and days."""
    events = []
    for _ in range(number):
        moment = start + timedelta(microseconds=rng.randrange(int(span / timedelta(microseconds=1))))
        if rng.random() < 0.15:
            grain = rng.choice([timedelta(minutes=5), timedelta(hours=1), timedelta(days=1)])
            moment -= (moment - EPOCH) % grain
            moment = max(moment - timedelta(microseconds=rng.choice([0, 0, 1])), start)
        event = Event(
            moment,
            user_id=f"user_{min(int(rng.expovariate(0.15)), users)}",
            event_type=rng.choices(EVENT_TYPES, [15, 30, 10, 5, 40])[0],
            platform=rng.choice(PLATFORMS),
            app_id=rng.choices(["public", "other"], [5, 1])[0],
        )
        if rng.random() < 0.1:
            event = replace(event, family="generic", platform=None, event_type="order_placed")
        events.append(event)
    return events


class LakeWriter:
    """One lake, whose tables exist; `publish` adds events and makes the next publication."""

    def __init__(self, settings: StorageSettings) -> None:
        self.settings = settings
        self.engine: Engine = make_engine(settings)
        self.specs: list[TableSpec] = load_table_specs(DEFAULT_MANIFEST)
        self.events: list[Event] = []
        self._builds = count(1)

    def publish(
        self, events: Iterable[Event], *, published_at: datetime | None = None, cause: str = "arrival"
    ) -> Publication:
        """The publication after these events were added. The whole days of their hours are built."""
        added = list(events)
        self.events += added
        days = sorted({event.occurred_at.date() for event in added})
        hours = [datetime(day.year, day.month, day.day, hour, tzinfo=UTC) for day in days for hour in range(24)]
        wanted = set(days)
        rows = [(offset, event) for offset, event in enumerate(self.events) if event.occurred_at.date() in wanted]
        return self.promote(self._build(rows), hours, cause=cause, published_at=published_at)

    def promote(
        self,
        build_file: Path,
        hours: Sequence[datetime],
        *,
        cause: str = "arrival",
        published_at: datetime | None = None,
    ) -> Publication:
        """Promotes a build file as the product does."""
        newest = latest(self.engine)
        candidate = Candidate(
            build_file=build_file,
            hours=tuple(hours),
            base_publication_id=newest.publication_id if newest else None,
            cause=cause,
            run_id=f"run-{build_file.parent.name}",
            bronze_version=len(self.events),
            highest_offsets={"events.raw.v1": {"0": len(self.events) - 1}},
            code_version="test",
        )
        with writer_lock(self.engine):
            publication = promote(self.settings, self.engine, self.specs, candidate, published_at)
        assert publication is not None, "the events changed nothing"
        return publication

    def expire(self, snapshot_id: int) -> None:
        """Expires one snapshot, as retention does."""
        with open_lake(self.settings, read_only=False) as lake:
            lake.execute(f"call ducklake_expire_snapshots('lake', versions => [{snapshot_id}])")
            lake.execute("call ducklake_cleanup_old_files('lake', cleanup_all => true)")

    def new_build_file(self) -> Path:
        """A path for the next build."""
        folder = self.settings.builds_dir / f"{next(self._builds):05d}"
        folder.mkdir(parents=True)
        return folder / "build.duckdb"

    def _build(self, rows: Sequence[tuple[int, Event]]) -> Path:
        path = self.new_build_file()
        with duckdb.connect(str(path)) as build:
            make_build_tables(build, self.specs)
            build.execute(
                "create temp table staged (occurred_at timestamptz, user_id varchar, event_type varchar, "
                "platform varchar, app_id varchar, family varchar, kafka_offset bigint)"
            )
            values: list[tuple[Any, ...]] = [
                (e.occurred_at, e.user_id, e.event_type, e.platform, e.app_id, e.family, offset) for offset, e in rows
            ]
            if values:
                build.executemany("insert into staged values (?, ?, ?, ?, ?, ?, ?)", values)
            fill_build(build)
        return path


def make_build_tables(build: duckdb.DuckDBPyConnection, specs: Sequence[TableSpec]) -> None:
    """Every published table, empty, as dbt leaves them in a build file."""
    build.execute("SET TimeZone='UTC'")
    for schema in ("silver", "gold"):
        build.execute(f"create schema {schema}")
    for spec in specs:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in spec.columns)
        build.execute(f"create table {spec.qualified_name} ({columns})")


def fill_build(build: duckdb.DuckDBPyConnection) -> None:
    """Silver and gold from the temporary table `staged`."""
    build.execute(
        "insert into silver.events by name select app_id, 'e' || kafka_offset as event_id, family, event_type, user_id, platform, "
        "family || '/1' as contract, occurred_at, occurred_at as received_at, occurred_at as ingested_at, "
        "cast(occurred_at as date) as event_date, date_trunc('hour', occurred_at) as event_hour, false as is_late, "
        "md5(kafka_offset::varchar) as payload_hash, 'events.raw.v1' as kafka_topic, 0 as kafka_partition, kafka_offset from staged"
    )
    build.execute(
        "insert into gold.fct_user_hours by name select app_id, family, user_id, coalesce(platform, 'none') as platform, event_type, "
        "event_date, event_hour, count(*) as event_count from silver.events group by all"
    )
    for table, grain in GRAINS.items():
        hour = "" if table == "agg_day_events" else "date_trunc('hour', window_start) as event_hour, "
        build.execute(
            f"insert into gold.{table} by name select app_id, family, event_type, coalesce(platform, 'none') as platform, "
            f"time_bucket(interval '{grain}', occurred_at, timestamptz '2000-01-01 00:00:00+00') as window_start, "
            f"window_start + interval '{grain}' as window_end, cast(window_start as date) as event_date, {hour}"
            "count(*) as event_count, count(distinct user_id) as unique_users from silver.events group by all"
        )
