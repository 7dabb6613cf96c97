"""Finds the records of an event id in bronze: by column, in steps of days, in the files that can hold it.

No statistics tell where an id lies, so its column is read; days without the range asked for are not, nor are files that landed before an id
of the server's own making existed. The bodies are never read.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb

from ingestion.contracts import headers
from ingestion.contracts.quarantine import Coordinates, CoordinatesError
from storage.bronze import row_counts_by_date
from storage.landed_records import fill_places
from storage.settings import StorageSettings
from storage.tracing.model import Copy

ROWS_PER_STEP = 5_000_000
# The server's clock made the time in the id, Spark's the stamp of landing; and a client may make such ids by a clock of its own.
CLOCK_TOLERANCE = timedelta(days=1)

Progress = Callable[[str], None]

_COLUMNS = f"""
    kafka_topic, kafka_partition, kafka_offset, app_id, event_id, contract, occurred_at, received_at, kafka_timestamp, ingested_at,
    event_hour, dlq_stage, rejection_reason,
    try(decode(list_filter(headers, lambda header: header.key = '{headers.REDRIVE_OF}')[1].value)) as redrive_of
from delta_scan($uri, version => $version) as bronze
"""
_BY_ID = f"""
select {_COLUMNS}
where event_date between $first_day and $last_day and event_id = $event_id and ($app_id is null or app_id = $app_id)
"""
_BY_PLACE = f"""
select {_COLUMNS}
semi join wanted
    on bronze.kafka_topic = wanted.kafka_topic
    and bronze.kafka_partition = wanted.kafka_partition
    and bronze.kafka_offset = wanted.kafka_offset
where bronze.kafka_offset between $first_offset and $last_offset
"""


@dataclass(frozen=True)
class Days:
    """UTC days of bronze to look at, both included; None: open."""

    first: date | None = None
    last: date | None = None

    def holds(self, day: date) -> bool:
        """True for a day of the range."""
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)


ANY_DAY = Days()


class BronzeScan:
    """Bronze at one version."""

    def __init__(self, session: duckdb.DuckDBPyConnection, settings: StorageSettings, version: int) -> None:
        self._session = session
        self._settings = settings
        self._version = version

    def by_id(
        self, event_id: str, app_id: str | None, days: Days, landed_after: datetime | None, progress: Progress
    ) -> tuple[list[Copy], str]:
        """The records with this id, in landing order, and what was read to find them."""
        counts = {day: rows for day, rows in row_counts_by_date(self._settings, self._version).items() if rows}
        wanted = {day: counts[day] for day in sorted(counts) if days.holds(day)}
        query = _BY_ID if landed_after is None else f"{_BY_ID} and ingested_at >= $landed_after"
        copies: list[Copy] = []
        passed, total = 0, sum(wanted.values())
        for first, last, rows in _steps(wanted):
            progress(f"bronze: {passed:,} of {total:,} rows, {first} to {last}")
            parameters: dict[str, Any] = {"first_day": first, "last_day": last, "event_id": event_id, "app_id": app_id}
            copies += self._read(query, parameters | ({} if landed_after is None else {"landed_after": landed_after}))
            passed += rows
        said = f"bronze version {self._version}: {len(wanted)} of {len(counts)} days, {total:,} of {sum(counts.values()):,} rows"
        if landed_after is not None:
            said += f", of these what landed after {landed_after:%Y-%m-%d %H:%M} (the id says that it is not older)"
        return sorted(copies, key=_landed_order), said

    def at(self, places: set[Coordinates]) -> list[Copy]:
        """The records at these places, whatever day they are filed under."""
        if not places:
            return []
        fill_places(self._session, "wanted", dict.fromkeys(places))
        offsets = [place.offset for place in places]
        return self._read(_BY_PLACE, {"first_offset": min(offsets), "last_offset": max(offsets)})

    def _read(self, query: str, parameters: Mapping[str, Any]) -> list[Copy]:
        pinned = {"uri": self._settings.bronze_uri, "version": self._version}
        result = self._session.execute(query, {**pinned, **parameters})
        names = [column[0] for column in result.description]
        return [_copy(dict(zip(names, row, strict=True))) for row in result.fetchall()]


def made_after(event_id: str) -> datetime | None:
    """When an id of version 7 was made at the earliest, by whoever's clock within a day; None for another id."""
    try:
        parsed = uuid.UUID(event_id)
    except ValueError:
        return None
    if parsed.version != 7:
        return None
    try:
        return datetime.fromtimestamp((parsed.int >> 80) / 1000, UTC) - CLOCK_TOLERANCE
    except (ValueError, OverflowError):
        return None


def _steps(rows_by_day: Mapping[date, int]) -> Iterator[tuple[date, date, int]]:
    """Neighbouring days in groups of at most ROWS_PER_STEP rows, the newest first: most questions are about lately."""
    group: list[date] = []
    rows = 0
    for day in sorted(rows_by_day, reverse=True):
        if group and rows + rows_by_day[day] > ROWS_PER_STEP:
            yield group[-1], group[0], rows
            group, rows = [], 0
        group.append(day)
        rows += rows_by_day[day]
    if group:
        yield group[-1], group[0], rows


def _copy(row: Mapping[str, Any]) -> Copy:
    stage = row["dlq_stage"]
    return Copy(
        coordinates=Coordinates(row["kafka_topic"], row["kafka_partition"], row["kafka_offset"]),
        edge="accepted" if stage is None else "pointer" if stage == headers.CONSUMER_STAGE.decode() else "rejected",
        redrive_of=_origin(row["redrive_of"]),
        **{name: row[name] for name in ("app_id", "event_id", "rejection_reason", "contract")},
        **{name: row[name] for name in ("occurred_at", "received_at", "kafka_timestamp", "ingested_at", "event_hour")},
    )


def _origin(text: str | None) -> Coordinates | None:
    try:
        return None if text is None else Coordinates.parse(text)
    except CoordinatesError:
        return None


def _landed_order(copy: Copy) -> tuple[datetime, Coordinates]:
    return copy.ingested_at, copy.coordinates
