"""A small platform made by hand: bronze by deltalake, the lake by plain Python, Kafka as a fake, control tables for real.

`World.publish` computes silver and gold of the hours asked for in naive Python (quadratic, obvious), a third wording of the rules beside
dbt's and the checker's, and commits them as one publication. `tamper` is SQL run inside that commit: how a test breaks an invariant.
"""

import hashlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import fastavro
from sqlalchemy import Engine

from ingestion.contracts.avro_wire import decodable
from storage import publications
from storage.control import hours as control_hours
from storage.duckdb_session import open_session
from storage.lake import LAKE_EXTENSIONS, PUBLICATIONS_DDL, attach_statement, open_lake
from storage.publications import Publication
from storage.settings import StorageSettings
from storage.verification import Check, Report, verify
from storage.verification.kafka_log import OffsetRange, Place, Record
from storage.verification.queries import load
from tests.fixtures.bronze_rows import COLUMNS, BronzeRow, append_relation
from tests.unit.ingestion.schema_registry.test_decoding import V1

HORIZON = timedelta(days=7)
STAMP_COUNT = 7
LATE_AFTER = timedelta(seconds=600)


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
                yield Record(*row.coordinates, row.key, row.value, tuple(row.all_headers.items()))


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
                *_HOURLY,
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


_HOURLY = ("gold.agg_5min_events", "gold.agg_hour_events")


def create_lake(settings: StorageSettings) -> None:
    """The lake with the tables of the spec, made from the checker's own description of them plus what it does not read."""
    ddl = (
        load("empty_lake")
        .split("create table lake.operations.publications")[0]
        .replace("attach ':memory:' as lake;", "")
    )
    with open_session(settings, LAKE_EXTENSIONS) as session:
        session.execute(attach_statement(settings, read_only=False, snapshot_id=None))
        session.execute(f"begin; {ddl}; {PUBLICATIONS_DDL}; commit")


def _with_stamp(row: StampedRow, stamp: datetime) -> StampedRow:
    import dataclasses

    return dataclasses.replace(row, ingested_at=stamp)


def build(rows: Sequence[StampedRow], wanted: set[datetime]) -> dict[str, list[dict[str, Any]]]:
    """The rows of the wanted hours of every table but the daily one, from the rules' text."""
    tables: dict[str, list[dict[str, Any]]] = defaultdict(list)
    downloads: list[StampedRow] = []
    exposed: list[StampedRow] = []
    valid = [row for row in rows if _reason(row) is None and row.dlq_stage is None]
    for row in rows:
        if row.event_hour not in wanted or row.dlq_stage == "consumer":
            continue
        if row not in valid:
            tables["silver.quarantine"].append(_quarantined(row))
            continue
        earlier = [
            other
            for other in valid
            if (other.app_id, other.event_id) == (row.app_id, row.event_id)
            and other.landed_order < row.landed_order
            and abs(other.occurred_at - row.occurred_at) <= HORIZON  # type: ignore[operator]  # valid rows have it
        ]
        if row.redrive_of is not None and row.redrive_of.split("/")[1].isdigit():
            tables["silver.redrives"].append(_redrive(row, row.redrive_of))
        if earlier:
            tables["silver.duplicates"].append(_duplicate(row, min(earlier, key=lambda other: other.landed_order)))
        else:
            tables["silver.events"].append(_event(row))
            downloads += [row] if row.contract == "download/1" else []
            exposed += [row] if row.event_type == "feature_exposed" else []
    _aggregate(tables)
    tables["gold.agg_hour_download_errors"] = _download_errors(downloads)
    tables["silver.experiment_exposures"] = _exposures(exposed)
    return tables


def _reason(row: StampedRow) -> str | None:
    if row.rejection_reason is not None:
        return row.rejection_reason
    try:
        return None if isinstance(_document(row), dict) else "not_an_object"
    except ValueError:
        return "malformed_json"
    except EOFError:
        return "malformed_avro"


def _document(row: StampedRow) -> Any:
    """The body. Avro ones are written with the contract's own schema."""
    value = row.value or b""
    if value[:1] != b"\0":
        return json.loads(value)
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), fastavro.parse_schema(decodable(json.dumps(V1))))


def _stamps(row: StampedRow) -> dict[str, Any]:
    return {
        "kafka_topic": row.kafka_topic,
        "kafka_partition": row.kafka_partition,
        "kafka_offset": row.kafka_offset,
        "app_id": row.app_id,
        "event_id": row.event_id,
        "received_at": row.received,
        "ingested_at": row.ingested_at,
        "event_date": row.event_hour.date(),
        "event_hour": row.event_hour,
    }


def _hash(row: StampedRow) -> str:
    return hashlib.md5(row.value or b"", usedforsecurity=False).hexdigest()


def _event(row: StampedRow) -> dict[str, Any]:
    body = _document(row)
    assert row.occurred_at is not None
    assert row.contract is not None
    return {
        **_stamps(row),
        "event_type": row.event_type,
        "contract": row.contract,
        "occurred_at": row.occurred_at,
        "family": row.contract.split("/")[0],
        "user_id": body["user_id"].strip(),
        "platform": body.get("platform"),
        "is_late": row.received - row.occurred_at > LATE_AFTER,
        "payload_hash": _hash(row),
    }


def _duplicate(row: StampedRow, winner: StampedRow) -> dict[str, Any]:
    return {
        **_stamps(row),
        "occurred_at": row.occurred_at,
        "payload_differs": _hash(row) != _hash(winner),
        "winner_topic": winner.kafka_topic,
        "winner_partition": winner.kafka_partition,
        "winner_offset": winner.kafka_offset,
    }


def _redrive(row: StampedRow, origin: str) -> dict[str, Any]:
    topic, partition, offset = origin.split("/")
    named = {"origin_topic": topic, "origin_partition": int(partition), "origin_offset": int(offset)}
    return {**_stamps(row), **named}


def _quarantined(row: StampedRow) -> dict[str, Any]:
    stage = row.dlq_stage or ("landing" if row.rejection_reason else "silver")
    stamps = {**_stamps(row), "event_type": row.event_type, "contract": row.contract}
    return {**stamps, "reason": _reason(row), "stage": stage, "raw_value": row.value}


def _aggregate(tables: dict[str, list[dict[str, Any]]]) -> None:
    """Adds gold's hourly tables for the silver events."""
    users: Counter[tuple[Any, ...]] = Counter()
    windows: dict[str, dict[tuple[Any, ...], list[str]]] = {table: defaultdict(list) for table in _HOURLY}
    for event in tables["silver.events"]:
        dims = (event["app_id"], event["family"], event["event_type"], event["platform"] or "none")
        hour = event["event_hour"]
        users[(*dims, event["user_id"], hour)] += 1
        five = event["occurred_at"].replace(minute=event["occurred_at"].minute // 5 * 5, second=0, microsecond=0)
        windows["gold.agg_5min_events"][(*dims, hour, five, five + timedelta(minutes=5))].append(event["user_id"])
        windows["gold.agg_hour_events"][(*dims, hour, hour, hour + timedelta(hours=1))].append(event["user_id"])
    for (app, family, kind, platform, user, hour), count in users.items():
        tables["gold.fct_user_hours"].append(
            {"app_id": app, "family": family, "user_id": user, "platform": platform, "event_type": kind}
            | {"event_date": hour.date(), "event_hour": hour, "event_count": count}
        )
    for table, cells in windows.items():
        for (app, family, kind, platform, hour, start, end), seen in cells.items():
            tables[table].append(
                {"app_id": app, "family": family, "event_type": kind, "platform": platform}
                | {"window_start": start, "window_end": end, "event_date": hour.date(), "event_hour": hour}
                | {"event_count": len(seen), "unique_users": len(set(seen))}
            )


def _download_errors(downloads: Sequence[StampedRow]) -> list[dict[str, Any]]:
    """Gold's cells by region and error code."""
    outcomes: dict[tuple[str, datetime, str, str], Counter[str]] = defaultdict(Counter)
    for row in downloads:
        body = _document(row)
        code = body["download"].get("error_code") or "none"
        outcomes[row.app_id, row.event_hour, body["user_context"]["region"], code][body["download"]["status"]] += 1
    return [
        {
            "app_id": app,
            "region": region,
            "error_code": code,
            "window_start": hour,
            "window_end": hour + timedelta(hours=1),
        }
        | {"event_date": hour.date(), "event_hour": hour, "event_count": counts.total()}
        | {f"{status}_count": counts[status] for status in ("success", "failed", "cancelled")}
        for (app, hour, region, code), counts in outcomes.items()
    ]


def _exposures(exposed: Sequence[StampedRow]) -> list[dict[str, Any]]:
    """Silver's exposures of each user to each variant."""
    times: dict[tuple[str, ...], dict[datetime, list[datetime]]] = defaultdict(lambda: defaultdict(list))
    for row in exposed:
        body = _document(row)
        if body.get("experiment_id") is not None:
            assert row.occurred_at is not None
            key = (row.app_id, body["experiment_id"], body["variant"], body["user_id"].strip())
            times[key][row.event_hour].append(row.occurred_at)
    return [
        {"app_id": app, "experiment_id": experiment, "variant": variant, "user_id": user}
        | {"event_date": hour.date(), "event_hour": hour, "first_exposed_at": min(seen), "exposure_count": len(seen)}
        for (app, experiment, variant, user), hours in times.items()
        for hour, seen in hours.items()
    ]


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
