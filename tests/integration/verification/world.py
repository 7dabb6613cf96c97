"""A small platform made by hand: bronze by deltalake, the lake by plain Python, Kafka as a fake, control tables for real.

`World.publish` computes silver and gold of the hours asked for in naive Python (quadratic, obvious), a third wording of the rules beside
dbt's and the checker's, and commits them as one publication. `tamper` is SQL run inside that commit: how a test breaks an invariant.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
from sqlalchemy import Engine

from storage import publications
from storage.control import hours as control_hours
from storage.duckdb_session import open_session
from storage.lake import LAKE_EXTENSIONS, PUBLICATIONS_DDL, attach, open_lake
from storage.publications import Publication
from storage.settings import StorageSettings
from storage.verification import Check, Report, verify
from storage.verification.kafka_log import OffsetRange, Place, Record
from storage.verification.queries import load
from tests.fixtures.bronze_rows import COLUMNS, BronzeRow, append_relation
from tests.integration.verification.naive_tables import HOURLY, build

STAMP_COUNT = 7


@dataclass(frozen=True)
class StampedRow(BronzeRow):
    """A landed record of the API: its stamps in columns, and as headers too where one is missing or `has_headers` says so."""

    has_headers: bool = False
    redrive_of: str | None = None
    """The quarantined record that this one recovers: topic/partition/offset."""

    @property
    def all_headers(self) -> dict[str, bytes]:
        """What the API writes beside the value."""
        stamps = {
            "ce_specversion": "1.0",
            "ce_id": self.event_id,
            "ce_source": self.app_id,
            "ce_type": self.event_type,
            "ce_time": _rfc3339(self.occurred_at),
            "ce_dataschema": self.contract,
            "ce_receivedat": _rfc3339(self.received),
            "ce_redriveof": self.redrive_of,
        }
        return {name: text.encode() for name, text in stamps.items() if text is not None}

    @property
    def coordinates(self) -> tuple[str, int, int]:
        """Topic, partition, offset."""
        return (self.kafka_topic, self.kafka_partition, self.kafka_offset)

    @property
    def landed_order(self) -> tuple[Any, ...]:
        """The place of the record in the order of landing."""
        return (self.ingested_at, *self.coordinates)


def _rfc3339(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def write_stamped(path: str, rows: Sequence[StampedRow], tamper: str = "") -> int:
    """`write_bronze` for rows with all of their stamps: one commit, the new Delta version. `tamper`: SQL on the table `landed` before."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone='UTC'")
        connection.execute(f"create table landed ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})")
        headers = (
            "case when ? then "
            "list_transform(list_zip(?::varchar[], ?::blob[]), pair -> struct_pack(key := pair[1], value := pair[2])) end"
        )
        marks = ", ".join(headers if name == "headers" else "?" for name in COLUMNS)
        place = list(COLUMNS).index("headers")
        for row in rows:
            columns: list[Any] = list(row.as_tuple())
            columns[place : place + 1] = [
                row.has_headers or len(row.all_headers) != STAMP_COUNT,
                list(row.all_headers),
                list(row.all_headers.values()),
            ]
            connection.execute(f"insert into landed values ({marks})", columns)
        if tamper:
            connection.execute(tamper)
        return append_relation(path, connection.table("landed"))


@dataclass
class FakeKafka:
    """Kafka as the rows that were sent to it."""

    rows: list[StampedRow] = field(default_factory=list)
    log_start: int = 0

    def offset_ranges(self) -> dict[Place, OffsetRange]:
        """From the log start to one past the highest offset sent."""
        ends: dict[Place, int] = {}
        for row in self.rows:
            place = (row.kafka_topic, row.kafka_partition)
            ends[place] = max(ends.get(place, 0), row.kafka_offset + 1)
        return {place: OffsetRange(self.log_start, end) for place, end in ends.items()}

    def read(self, ranges: Mapping[Place, OffsetRange]) -> Iterator[Record]:
        """The rows in the ranges, as the records that they were sent as."""
        for row in self.rows:
            wanted = ranges.get((row.kafka_topic, row.kafka_partition))
            if wanted and wanted.start <= row.kafka_offset < wanted.end:
                appended_at = int((row.kafka_timestamp or row.received).timestamp() * 1000)
                yield Record(*row.coordinates, row.key, row.value, tuple(row.all_headers.items()), appended_at)


@dataclass
class World:
    """Settings, servers and everything sent so far."""

    settings: StorageSettings
    engine: Engine
    kafka: FakeKafka = field(default_factory=FakeKafka)
    landed: list[tuple[int, StampedRow]] = field(default_factory=list)
    clock: datetime = datetime(2026, 3, 1, tzinfo=UTC)

    def send(self, *rows: StampedRow) -> None:
        """Puts rows into Kafka only."""
        self.kafka.rows.extend(rows)

    def land(self, *rows: StampedRow, sent: bool = True, seen: bool = True, tamper: str = "") -> int:
        """Lands rows as one bronze commit with one stamp. `seen`: the arrivals sensor has noticed it. `tamper`: as in `write_stamped`."""
        self.clock += timedelta(seconds=1)
        stamped = [_with_stamp(row, self.clock) for row in rows]
        if sent:
            self.send(
                *(row for row in stamped if row.coordinates not in {known.coordinates for known in self.kafka.rows})
            )
        version = write_stamped(self.settings.bronze_uri, stamped, tamper)
        self.landed += [(version, row) for row in stamped]
        if seen:
            self.see(version)
        return version

    def see(self, version: int) -> None:
        """Feeds control.hours from the commits up to `version`."""
        after = control_hours.read_cursor(self.engine)
        touched: dict[datetime, list[int]] = defaultdict(list)
        for commit, row in self.landed:
            if (after is None or commit > after) and commit <= version:
                touched[row.event_hour].append(commit)
        items = [control_hours.TouchedHour(hour, min(seen), max(seen), "arrival") for hour, seen in touched.items()]
        assert control_hours.feed(self.engine, items, after_version=after, to_version=version)

    def publish(
        self, version: int, hours: Sequence[datetime] | None = None, tamper: str = "", **fields: Any
    ) -> Publication:
        """Publishes the hours (default: all landed ones) as of a bronze version. `fields` overrides the publication's own."""
        rows = [row for commit, row in self.landed if commit <= version]
        wanted = sorted({row.event_hour for row in rows}) if hours is None else list(hours)
        base = publications.latest(self.engine)
        with open_lake(self.settings, read_only=False) as lake:
            lake.execute("begin")
            for table in (
                "silver.events",
                "silver.duplicates",
                "silver.quarantine",
                "silver.redrives",
                "silver.experiment_exposures",
                "gold.fct_user_hours",
                "gold.agg_hour_download_errors",
                *HOURLY,
            ):
                lake.execute(
                    f"delete from lake.{table} where event_hour in (select unnest(?::timestamptz[]))", [wanted]
                )
            lake.execute(
                "delete from lake.gold.agg_day_events where event_date in (select unnest(?::timestamptz[])::date)",
                [wanted],
            )
            for table, built in build(rows, set(wanted)).items():
                for item in built:
                    marks = ", ".join("?" for _ in item)
                    lake.execute(f"insert into lake.{table} ({', '.join(item)}) values ({marks})", list(item.values()))
            _insert_days(lake, wanted)
            for statement in tamper.split(";"):
                if statement.strip():
                    lake.execute(statement)
            publication = self._publication(base, version, wanted, fields)
            _commit(lake, publication)
        control_hours.mark_published(self.engine, wanted, version, "run")
        newest = publications.latest(self.engine)
        assert newest is not None
        return newest

    def _publication(
        self, base: Publication | None, version: int, hours: Sequence[datetime], fields: dict[str, Any]
    ) -> Publication:
        offsets: dict[str, dict[str, int]] = defaultdict(dict)
        for commit, row in self.landed:
            if commit <= version:
                known = offsets[row.kafka_topic].get(str(row.kafka_partition), -1)
                offsets[row.kafka_topic][str(row.kafka_partition)] = max(known, row.kafka_offset)
        return Publication(
            **{
                "publication_id": 1 if base is None else base.publication_id + 1,
                "snapshot_id": -1,
                "cause": "arrival",
                "hours": tuple(hours),
                "run_id": "run",
                "base_publication_id": None if base is None else base.publication_id,
                "bronze_version": version,
                "highest_offsets": dict(offsets),
                "code_version": "test",
                "published_at": self.clock,
                "changes": {},
                **fields,
            }
        )

    def verify(self, **options: Any) -> Report:
        """Verifies with the fake Kafka."""
        return verify(self.settings, kafka=self.kafka, **options)

    def failures(self, **options: Any) -> dict[str, Check]:
        """The failed checks by name."""
        return {check.name: check for check in self.verify(**options).failed}


def create_lake(settings: StorageSettings) -> None:
    """The lake with the tables of the spec, made from the checker's own description of them plus what it does not read."""
    ddl = (
        load("empty_lake")
        .split("create table lake.operations.publications")[0]
        .replace("attach ':memory:' as lake;", "")
    )
    with open_session(settings, LAKE_EXTENSIONS) as session:
        attach(session, settings, read_only=False)
        session.execute(f"begin; {ddl}; {PUBLICATIONS_DDL}; commit")


def _with_stamp(row: StampedRow, stamp: datetime) -> StampedRow:
    import dataclasses

    return dataclasses.replace(row, ingested_at=stamp)


def _insert_days(lake: Any, hours: Sequence[datetime]) -> None:
    lake.execute(
        "insert into lake.gold.agg_day_events by name "
        "select app_id, family, event_type, platform, event_date::timestamptz as window_start, "
        "event_date::timestamptz + interval 1 day as window_end, event_date, sum(event_count) as event_count, "
        "count(distinct user_id) as unique_users from lake.gold.fct_user_hours "
        "where event_date in (select unnest(?::timestamptz[])::date) group by all",
        [list(hours)],
    )


def _commit(lake: Any, publication: Publication) -> None:
    lake.execute(
        "insert into lake.operations.publications values (?, ?, ?::timestamptz[], ?, ?, ?, ?, ?, ?, ?)",
        [
            publication.publication_id,
            publication.cause,
            list(publication.hours),
            publication.run_id,
            publication.base_publication_id,
            publication.bronze_version,
            json.dumps(publication.highest_offsets),
            publication.code_version,
            json.dumps(publication.changes),
            publication.published_at,
        ],
    )
    lake.execute("call lake.set_commit_message('t', 'm', extra_info => ?)", [publications.encode(publication)])
    lake.execute("commit")
