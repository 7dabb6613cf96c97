"""Single records of bronze by their coordinates, whole: bytes, and headers in their order. Reads only the files that can hold them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import duckdb

from ingestion.contracts import headers
from ingestion.contracts.clocks import format_utc
from ingestion.contracts.quarantine import Coordinates

_LANDED = """
select
    bronze.kafka_topic, bronze.kafka_partition, bronze.kafka_offset, bronze.kafka_timestamp, bronze.key, bronze.value, bronze.headers,
    bronze.app_id, bronze.event_id, bronze.event_type, bronze.contract, bronze.occurred_at, bronze.received_at, bronze.ingested_at,
    bronze.rejection_reason
from delta_scan($uri, version => $version) as bronze
semi join wanted
    on bronze.kafka_topic = wanted.kafka_topic
    and bronze.kafka_partition = wanted.kafka_partition
    and bronze.kafka_offset = wanted.kafka_offset
where bronze.event_date between $first_day and $last_day and bronze.kafka_offset between $first_offset and $last_offset
"""


@dataclass(frozen=True)
class Landed:
    """A record as it lies in bronze. `headers` are all of them in their order, made again from the stamps where these say all."""

    kafka_timestamp: datetime
    received_at: datetime | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    rejection_reason: str | None


def read_landed(
    session: duckdb.DuckDBPyConnection,
    uri: str,
    version: int,
    places: Collection[Coordinates],
    first_day: date,
    last_day: date,
) -> dict[Coordinates, Landed]:
    """The records at these places whose event_date is within these days. One that bronze does not hold there has no entry."""
    offsets = [place.offset for place in places]
    fill_places(session, "wanted", dict.fromkeys(places))
    parameters = {
        "uri": uri,
        "version": version,
        "first_day": first_day,
        "last_day": last_day,
        "first_offset": min(offsets),
        "last_offset": max(offsets),
    }
    result = session.execute(_LANDED, parameters)
    names = [column[0] for column in result.description]
    rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return {Coordinates(row["kafka_topic"], row["kafka_partition"], row["kafka_offset"]): _landed(row) for row in rows}


def fill_places(session: duckdb.DuckDBPyConnection, table: str, rows: Mapping[Coordinates, str | None]) -> None:
    """Makes a temporary table of coordinates with an event id each."""
    session.execute(
        f"create or replace temp table {table} (kafka_topic varchar, kafka_partition integer, kafka_offset bigint, event_id varchar)"
    )
    if rows:
        columns = {"topic": [], "partition": [], "offset": [], "event_id": []}  # type: dict[str, list[Any]]
        for place, event_id in rows.items():
            for name, value in (*place._asdict().items(), ("event_id", event_id)):
                columns[name].append(value)
        session.execute(
            f"insert into {table} select unnest($topic), unnest($partition), unnest($offset), unnest($event_id::varchar[])",
            columns,
        )


def _landed(row: Mapping[str, Any]) -> Landed:
    kept = row["headers"]
    if kept is not None:
        all_headers = tuple((header["key"], header["value"]) for header in kept)
    else:
        all_headers = () if row["occurred_at"] is None else _stamps(row)
    return Landed(
        row["kafka_timestamp"], row["received_at"], row["key"], row["value"], all_headers, row["rejection_reason"]
    )


def _stamps(row: Mapping[str, Any]) -> tuple[tuple[str, bytes | None], ...]:
    """The headers of a record whose stamps say all of them."""
    texts = [
        headers.SPEC_VERSION_VALUE.decode(),
        row["event_id"],
        row["app_id"],
        row["event_type"],
        format_utc(row["occurred_at"]),
        row["contract"],
        format_utc(row["received_at"]),
    ]
    return tuple((name, text.encode()) for name, text in zip(headers.STAMPS, texts, strict=True))
