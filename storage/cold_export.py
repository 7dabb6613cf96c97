"""Bronze as files that other tools read: the raw bytes of every good event of a day, once per event.

Two forms, under `events/YYYY/MM/DD` by the UTC day of occurred_at: a file per event (`{event_id}.json`, its bytes untouched), or
compacted, one gzipped NDJSON object per hour (`HH.ndjson.gz`; a line break between two tokens of an event becomes a space there). Avro
bodies are files of their own (`.avro`) in both. The same bronze gives the same tree, however often it is written.

Good is what landing took and silver did not refuse: of an event that was repaired and sent again under its id, the repaired record. What no
publication has read yet counts as not refused.
"""

import gzip
import hashlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from ingestion.contracts.avro_wire import is_avro
from storage.bronze import latest_version
from storage.control import make_engine
from storage.duckdb_session import open_session
from storage.lake import open_lake
from storage.publications import latest
from storage.settings import StorageSettings

# Two of them and a suffix are a file name.
MAX_NAME_LENGTH = 120
UPLOADS_AT_ONCE = 16
_FETCH_ROWS = 1000
# A record is a copy when another one of its id landed before it and occurred within the horizon, as in silver; bodies are read of the day
# alone. Of two apps with one event id on a day the first that landed keeps the plain name: bronze only grows, so no name of what is
# published changes.
_QUERY = """
with records as (
    select
        app_id,
        event_id,
        occurred_at,
        {
            'ingested_at': ingested_at,
            'kafka_topic': kafka_topic,
            'kafka_partition': kafka_partition,
            'kafka_offset': kafka_offset
        } as landed
    from delta_scan($uri, version => $version)
    anti join refused using (kafka_topic, kafka_partition, kafka_offset)
    where rejection_reason is null and dlq_stage is null and event_date between $day - $days and $day + $days
),
repeated_keys as (
    select app_id, event_id
    from records
    group by all
    having count(*) > 1
),
ranked as (
    select
        records.landed,
        min(records.landed) over (
            partition by records.app_id, records.event_id
            order by records.occurred_at range between to_days($days) preceding and to_days($days) following
        ) as earliest
    from records
    semi join repeated_keys on records.app_id = repeated_keys.app_id and records.event_id = repeated_keys.event_id
),
copies as (
    select landed.kafka_topic as kafka_topic, landed.kafka_partition as kafka_partition, landed.kafka_offset as kafka_offset
    from ranked
    where earliest <> landed
)
select
    app_id, event_id, contract, value, occurred_at,
    row_number() over (
        partition by event_id order by ingested_at, kafka_topic, kafka_partition, kafka_offset
    ) = 1 as is_first_of_its_id
from delta_scan($uri, version => $version) as events
anti join copies using (kafka_topic, kafka_partition, kafka_offset)
anti join refused using (kafka_topic, kafka_partition, kafka_offset)
where rejection_reason is null and dlq_stage is null and event_date = $day
order by date_trunc('hour', occurred_at), app_id, event_id
"""


class Target(Protocol):
    """Where files go. `put` replaces a file as a whole and may be called from several threads."""

    def put(self, path: str, content: bytes) -> None:
        """Writes one file below the target."""
        ...


@dataclass(frozen=True)
class ColdEvent:
    """One event of bronze."""

    app_id: str
    event_id: str
    contract: str
    value: bytes
    occurred_at: datetime
    is_first_of_its_id: bool

    @property
    def file_name(self) -> str:
        """Safe on every file system and in every URL; different events have different names."""
        name = safe_name(self.event_id) + ("" if self.is_first_of_its_id else f"@{safe_name(self.app_id)}")
        return f"{name}.avro" if is_avro(self.contract, self.value) else f"{name}.json"


@dataclass(frozen=True)
class Export:
    """What an export wrote, or would write."""

    day: date
    event_count: int
    file_count: int
    size_bytes: int


def safe_name(event_id: str) -> str:
    """The id with all but letters, digits and `-_.` percent-encoded, a leading dot too; a long one as its beginning and its hash."""
    name = quote(event_id, safe="").replace("~", "%7E")
    name = f"%2E{name[1:]}" if name.startswith(".") else name
    if len(name) <= MAX_NAME_LENGTH:
        return name
    return f"{name[: MAX_NAME_LENGTH - 65]}~{hashlib.sha256(event_id.encode()).hexdigest()}"


def export_day(
    settings: StorageSettings,
    day: date,
    target: Target | None,
    *,
    compact: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Export:
    """Writes the good events of a day; without a target only counts. `progress` is told how many events are done. Idempotent."""
    folder = f"events/{day:%Y/%m/%d}"
    events = read_day(settings, day)
    files = (
        _compacted(folder, events) if compact else ((f"{folder}/{event.file_name}", event.value, 1) for event in events)
    )
    event_count = file_count = size_bytes = 0
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as executor:
        waiting = []
        for path, content, count in files:
            if target is not None:
                waiting.append(executor.submit(target.put, path, content))
            event_count, file_count, size_bytes = event_count + count, file_count + 1, size_bytes + len(content)
            if len(waiting) >= UPLOADS_AT_ONCE * 4:
                for future in waiting:
                    future.result()
                waiting.clear()
                progress(event_count)
        for future in waiting:
            future.result()
    progress(event_count)
    return Export(day, event_count, file_count, size_bytes)


def read_day(settings: StorageSettings, day: date) -> Iterator[ColdEvent]:
    """The good events of a day, each once, by hour, app and event id. Holds no more than some rows in memory."""
    version = latest_version(settings)
    if version is None:
        return
    days = settings.deduplication_horizon_days
    with _session(settings, day, timedelta(days=days)) as session:
        session.execute(_QUERY, {"uri": settings.bronze_uri, "version": version, "day": day, "days": days})
        while rows := session.fetchmany(_FETCH_ROWS):
            for row in rows:
                yield ColdEvent(*row)


@contextmanager
def _session(settings: StorageSettings, day: date, around: timedelta) -> Iterator[Any]:
    """DuckDB with the places of the records `refused` by silver on the days around, as of the newest publication."""
    engine = make_engine(settings, pool_size=1)
    try:
        publication = latest(engine)
    finally:
        engine.dispose()
    if publication is None:
        with open_session(settings) as session:
            session.execute(
                "create temp table refused (kafka_topic varchar, kafka_partition integer, kafka_offset bigint)"
            )
            yield session
        return
    with open_lake(settings, snapshot_id=publication.snapshot_id) as session:
        session.execute(
            "create temp table refused as select kafka_topic, kafka_partition, kafka_offset from lake.silver.quarantine "
            "where stage = 'silver' and event_date between ?::date and ?::date",
            [day - around, day + around],
        )
        yield session


def _compacted(folder: str, events: Iterator[ColdEvent]) -> Iterator[tuple[str, bytes, int]]:
    """(path, content, events) per hour, and per Avro event."""
    for hour, of_hour in groupby(events, key=lambda event: event.occurred_at.astimezone(UTC).hour):
        buffer, count = io.BytesIO(), 0
        # Without a time and a name, the same events give the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as packed:
            for event in of_hour:
                if is_avro(event.contract, event.value):
                    yield f"{folder}/{event.file_name}", event.value, 1
                    continue
                packed.write(event.value.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n")
                count += 1
        if count:
            yield f"{folder}/{hour:02}.ndjson.gz", buffer.getvalue(), count


class FolderTarget:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, path: str, content: bytes) -> None:
        """See Target."""
        file = self._root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{hashlib.sha256(file.name.encode()).hexdigest()}.part")
        unfinished.write_bytes(content)
        unfinished.replace(file)


class S3Target:
    """A bucket with an optional prefix: the settings' region and profile, all else from the usual AWS_* variables."""

    def __init__(self, uri: str, settings: StorageSettings) -> None:
        import boto3
        from botocore.config import Config

        self._bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        session = boto3.session.Session(
            region_name=settings.aws_region or None, profile_name=settings.aws_profile or None
        )
        self._client: Any = session.client("s3", config=Config(max_pool_connections=UPLOADS_AT_ONCE))

    def put(self, path: str, content: bytes) -> None:
        """See Target."""
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + path, Body=content)


def open_target(uri: str, settings: StorageSettings) -> Target:
    """The target of a path or an s3:// address."""
    return S3Target(uri, settings) if uri.startswith("s3://") else FolderTarget(Path(uri))
