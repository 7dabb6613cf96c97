"""The quarantine as published: which records are in it, why, and what was redriven; and their bytes, from bronze.

A row is one Kafka record. Its status is told at reading: `redriven` when a published record recovers it, or when a redrive has noted that
it produced one. Reads only.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import duckdb
from sqlalchemy import Engine

from ingestion.contracts.clocks import format_utc
from ingestion.contracts.quarantine import Coordinates, QuarantinedRecord
from storage import lake, publications
from storage.bronze import BronzeError, latest_version
from storage.control import redrives
from storage.landed_records import Landed, fill_places, read_landed
from storage.publications import Publication
from storage.settings import StorageSettings

Status = Literal["quarantined", "redriven"]
STAGES = ("edge", "landing", "silver")
BATCH_RECORDS = 500
BATCH_BYTES = 16 * 1024 * 1024

_QUARANTINED = """
create or replace temp view quarantined as
with recovering as (
    select
        origin_topic, origin_partition, origin_offset,
        arg_min(
            {'topic': kafka_topic, 'partition': kafka_partition, 'offset': kafka_offset, 'event_id': event_id},
            {'at': ingested_at, 'partition': kafka_partition, 'offset': kafka_offset}
        ) as first
    from lake.silver.redrives
    group by all
)
select
    rows.kafka_topic, rows.kafka_partition, rows.kafka_offset, rows.app_id, rows.event_id, rows.event_type, rows.contract, rows.reason,
    rows.stage, rows.received_at, rows.ingested_at, rows.event_date, rows.event_hour, octet_length(rows.raw_value) as size_bytes,
    case when recovering.first is null and noted.kafka_offset is null then 'quarantined' else 'redriven' end as status,
    recovering.first.topic as redriven_topic,
    recovering.first.partition as redriven_partition,
    recovering.first.offset as redriven_offset,
    coalesce(recovering.first.event_id, noted.event_id) as redriven_event_id
from lake.silver.quarantine as rows
left join recovering
    on rows.kafka_topic = recovering.origin_topic
    and rows.kafka_partition = recovering.origin_partition
    and rows.kafka_offset = recovering.origin_offset
left join noted
    on rows.kafka_topic = noted.kafka_topic
    and rows.kafka_partition = noted.kafka_partition
    and rows.kafka_offset = noted.kafka_offset
"""
_CHOSEN = """
from quarantined
where ($app_id is null or app_id = $app_id)
    and (len($reasons) = 0 or list_contains($reasons, reason) or list_contains($reasons, split_part(reason, ':', 1)))
    and (len($stages) = 0 or list_contains($stages, stage))
    and ($status is null or status = $status)
    and ($from_at is null or coalesce(received_at, event_hour) >= $from_at)
    and ($to_at is null or coalesce(received_at, event_hour) < $to_at)
"""

# In a table of its own: DuckDB spills it, and it stays as it is while batches are at work.
_PAGED = f"""
create or replace temp table chosen as
select *, row_number() over (order by event_date, kafka_topic, kafka_partition, kafka_offset) as position
{_CHOSEN}
qualify position <= $limit
"""
_PAGE = (
    "select * exclude (position) from chosen where position > $passed and position <= $passed + $page order by position"
)


@dataclass(frozen=True)
class Selection:
    """Which records. Empty means every one. `reasons` are codes: `missing_field` chooses `missing_field:user_id` too.

    Times are of received_at, or of the hour that the record is filed under where it has none; `to_at` is not part of it.
    """

    reasons: tuple[str, ...] = ()
    app_id: str | None = None
    stages: tuple[str, ...] = ()
    status: Status | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None
    limit: int | None = None

    def parameters(self) -> dict[str, Any]:
        """For the query."""
        return {
            "reasons": list(self.reasons),
            "app_id": self.app_id,
            "stages": list(self.stages),
            "status": self.status,
            "from_at": self.from_at,
            "to_at": self.to_at,
        }

    def as_dict(self) -> dict[str, Any]:
        """What was asked for, as JSON."""
        times = {name: format_utc(at) for name, at in (("from", self.from_at), ("to", self.to_at)) if at is not None}
        asked = {"reasons": self.reasons, "app": self.app_id, "stages": self.stages, "status": self.status}
        return (
            {name: value for name, value in asked.items() if value}
            | times
            | ({"limit": self.limit} if self.limit else {})
        )


@dataclass(frozen=True)
class Entry:
    """A row of the quarantine. `redriven_as` is None while the recovered event is not published yet."""

    coordinates: Coordinates
    app_id: str
    event_id: str | None
    event_type: str | None
    contract: str | None
    reason: str
    stage: str
    received_at: datetime | None
    ingested_at: datetime
    event_hour: datetime
    size_bytes: int
    status: Status
    redriven_as: Coordinates | None
    redriven_event_id: str | None

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        times = {name: getattr(self, name) for name in ("received_at", "ingested_at", "event_hour")}
        return {
            **vars(self),
            "coordinates": str(self.coordinates),
            "redriven_as": None if self.redriven_as is None else str(self.redriven_as),
            **{name: None if at is None else format_utc(at) for name, at in times.items()},
        }


class Quarantine:
    """An open quarantine: one publication, one bronze version."""

    def __init__(
        self, session: duckdb.DuckDBPyConnection, settings: StorageSettings, publication: Publication | None
    ) -> None:
        self._session = session
        self._settings = settings
        self._version: int | None = None
        self.publication = publication

    def entries(self, selection: Selection) -> list[Entry]:
        """The chosen rows, newest first, `limit` at most."""
        query = f"select * {_CHOSEN} order by ingested_at desc, kafka_topic, kafka_partition, kafka_offset desc limit $limit"
        return self._read(query, selection.parameters() | {"limit": selection.limit or 2**62})

    def counts(self, selection: Selection) -> list[tuple[str, str, Status, int]]:
        """(reason, stage, status, rows) of everything chosen, the most frequent first; without regard to `limit`."""
        query = f"select reason, stage, status, count(*) {_CHOSEN} group by all order by count(*) desc, reason, stage, status"
        return self._session.execute(query, selection.parameters()).fetchall()

    def find(self, coordinates: Coordinates) -> Entry | None:
        """One row."""
        query = "select * from quarantined where kafka_topic = $topic and kafka_partition = $partition and kafka_offset = $offset"
        found = self._read(query, coordinates._asdict())
        return found[0] if found else None

    def landed(self, entry: Entry) -> Landed:
        """The record of an entry as it lies in bronze. Raises: BronzeError."""
        return self._landed([entry])[entry.coordinates]

    def batches(self, selection: Selection) -> Iterator[list[QuarantinedRecord]]:
        """The chosen records with their bytes, in order of their day and place, in batches of bounded memory. Raises: BronzeError."""
        parameters = selection.parameters() | {"limit": selection.limit or 2**62}
        self._session.execute(_PAGED, parameters)
        passed = 0
        while page := self._read(_PAGE, {"passed": passed, "page": BATCH_RECORDS}):
            passed += len(page)
            batch: list[Entry] = []
            size_bytes = 0
            for entry in page:
                if batch and size_bytes + entry.size_bytes > BATCH_BYTES:
                    yield self._records(batch)
                    batch, size_bytes = [], 0
                batch.append(entry)
                size_bytes += entry.size_bytes
            yield self._records(batch)

    def record(self, entry: Entry) -> QuarantinedRecord:
        """An entry with its bytes. Raises: BronzeError."""
        return self._records([entry])[0]

    def _records(self, entries: Sequence[Entry]) -> list[QuarantinedRecord]:
        landed = self._landed(entries)
        return [_record(entry, landed[entry.coordinates]) for entry in entries]

    def _landed(self, entries: Sequence[Entry]) -> dict[Coordinates, Landed]:
        if self._version is None:
            self._version = latest_version(self._settings)
        if self._version is None:
            raise BronzeError(f"there is no bronze at {self._settings.bronze_uri}; see `tidemark status`")
        days = {entry.coordinates: entry.event_hour.date() for entry in entries}
        found = read_landed(
            self._session, self._settings.bronze_uri, self._version, days, min(days.values()), max(days.values())
        )
        missing = [str(place) for place in days if place not in found]
        if missing:
            raise BronzeError(f"bronze does not hold {', '.join(missing[:5])}; run `tidemark verify`")
        return found

    def _read(self, query: str, parameters: Mapping[str, Any]) -> list[Entry]:
        result = self._session.execute(query, dict(parameters))
        names = [column[0] for column in result.description]
        return [_entry(dict(zip(names, row, strict=True))) for row in result.fetchall()]


@contextmanager
def open_quarantine(settings: StorageSettings, engine: Engine) -> Iterator[Quarantine]:
    """The quarantine at the newest publication."""
    base = publications.current_base(engine)
    noted = redrives.redriven(engine)
    with lake.open_lake(settings, snapshot_id=base.snapshot_id) as session:
        fill_places(session, "noted", noted)
        session.execute(_QUARANTINED)
        yield Quarantine(session, settings, base.publication)


def _entry(row: Mapping[str, Any]) -> Entry:
    redriven = Coordinates(row["redriven_topic"], row["redriven_partition"], row["redriven_offset"])
    return Entry(
        coordinates=Coordinates(row["kafka_topic"], row["kafka_partition"], row["kafka_offset"]),
        **{name: row[name] for name in ("app_id", "event_id", "event_type", "contract", "reason", "stage", "status")},
        **{name: row[name] for name in ("received_at", "ingested_at", "event_hour")},
        size_bytes=row["size_bytes"] or 0,
        redriven_as=None if row["redriven_topic"] is None else redriven,
        redriven_event_id=row["redriven_event_id"],
    )


def _record(entry: Entry, landed: Landed) -> QuarantinedRecord:
    return QuarantinedRecord(
        coordinates=entry.coordinates,
        app_id=entry.app_id,
        stage=entry.stage,
        reason=entry.reason,
        received_at=landed.received_at or landed.kafka_timestamp,
        value=landed.value or b"",
        event_id=entry.event_id,
        event_type=entry.event_type,
        contract=entry.contract,
        redriven_as=entry.redriven_as,
    )
