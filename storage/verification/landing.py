"""I1, and the bronze half of I3: Kafka, the ledger and the receipts against bronze.

An event that Kafka holds and bronze does not yet have is waiting, not lost: its stamps are read from Kafka and counted as held.
A lag is therefore never an offence, whatever its length, and a loss always is.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from storage.control.acknowledged import Count
from storage.verification import queries
from storage.verification.kafka_log import KafkaLog, OffsetRange, Place, Record
from storage.verification.report import Finding

ReceiptId = tuple[str, str]
"""app_id, event_id."""

RecordContent = tuple[bytes | None, str | None, tuple[tuple[str, bytes | None], ...]]
"""Key, MD5 of the value in hex, headers."""

SAMPLE = 1_000
"""Records of a partition that are compared byte for byte: kafka-python reads some ten thousand in a second."""


@dataclass(frozen=True)
class LandedRange:
    """What bronze holds of one topic partition."""

    row_count: int
    offset_count: int
    first_offset: int
    last_offset: int


@dataclass(frozen=True)
class Unlanded:
    """The records of Kafka that bronze does not have yet: how many, whose, and which of the missing receipts."""

    record_count: int
    by_ledger_key: Counter[tuple[str, datetime, str]]
    receipts: frozenset[ReceiptId]


def landed_ranges(session: duckdb.DuckDBPyConnection) -> dict[Place, LandedRange]:
    """Bronze's offsets per topic partition."""
    rows = session.execute(queries.load("i1_offsets")).fetchall()
    return {(topic, partition): LandedRange(*numbers) for topic, partition, *numbers in rows}


def check_offsets(
    session: duckdb.DuckDBPyConnection, landed: Mapping[Place, LandedRange], kafka: Mapping[Place, OffsetRange]
) -> Finding:
    """Every offset from Kafka's log start to bronze's newest is in bronze exactly once, and Kafka holds what comes after it."""
    finding = Finding("kafka_offsets_land_exactly_once", "I1", "every offset up to bronze's newest landed once")
    for (topic, partition), offsets in kafka.items():
        known = landed.get((topic, partition))
        next_offset = known.last_offset + 1 if known else 0
        if offsets.start > next_offset:
            gone = f"{topic}/{partition}/{next_offset}-{offsets.start - 1}"
            finding.add([f"{gone} is neither in bronze nor in Kafka: deleted before it landed"])
    for place, found in landed.items():
        held = kafka.get(place)
        first = min(found.first_offset, held.start) if held else found.first_offset
        if found.row_count == found.offset_count == found.last_offset - first + 1:
            continue
        parameters = {"topic": place[0], "partition": place[1], "expected_first": first}
        queries.gather(session, "i1_gaps", finding, parameters)
    return finding


def check_claims(landed: Mapping[Place, LandedRange], claimed: Mapping[str, Mapping[str, int]]) -> Finding:
    """Bronze holds what the newest publication says it has read: rows lost behind bronze's newest would look like a lag."""
    finding = Finding("published_offsets_landed", "I1", "bronze holds all that the newest publication says it has read")
    for topic, partitions in claimed.items():
        for partition, offset in partitions.items():
            found = landed.get((topic, int(partition)))
            newest = found.last_offset if found else -1
            if newest < offset:
                finding.add([f"{topic}/{partition}/{newest + 1}-{offset} is published as read, and not in bronze"])
    return finding


def check_not_ahead(landed: Mapping[Place, LandedRange], kafka: Mapping[Place, OffsetRange]) -> Finding:
    """Nothing is in bronze that Kafka has not written."""
    finding = Finding("bronze_rows_come_from_kafka", "I3", "no row of bronze lies beyond Kafka's end")
    for (topic, partition), found in landed.items():
        held = kafka.get((topic, partition))
        end = held.end if held else 0
        if found.last_offset >= end:
            finding.add([f"{topic}/{partition} landed up to offset {found.last_offset}, Kafka ends before {end}"])
    return finding


def check_records(
    session: duckdb.DuckDBPyConnection,
    log: KafkaLog,
    landed: Mapping[Place, LandedRange],
    kafka: Mapping[Place, OffsetRange],
) -> Finding:
    """The newest rows of every partition are their records, byte for byte: key, value, and headers in their order."""
    finding = Finding(
        "newest_rows_equal_their_records", "I3", f"the newest {SAMPLE:,} rows of each partition are what Kafka holds"
    )
    ranges: dict[Place, OffsetRange] = {}
    rows: dict[tuple[str, int, int], RecordContent] = {}
    for place, found in landed.items():
        held = kafka.get(place, OffsetRange(0, 0))
        end = min(found.last_offset + 1, held.end)
        ranges[place] = OffsetRange(max(held.start, end - SAMPLE), end)
        parameters = {"topic": place[0], "partition": place[1], "first": ranges[place].start, "last": end - 1}
        for offset, *content in session.execute(queries.load("i3_records"), parameters).fetchall():
            rows[*place, offset] = _content_of_row(*content)
    for record in log.read(ranges):
        row = rows.get((record.topic, record.partition, record.offset))
        if row is not None and row != _content_of(record):  # a row that is missing is I1's
            finding.add([f"{record.topic}/{record.partition}/{record.offset} is not what Kafka holds"])
    return finding


def _content_of_row(key: bytes | None, value_hash: str | None, headers: list[dict[str, Any]]) -> RecordContent:
    return key, value_hash, tuple((header["key"], header["value"]) for header in headers)


def _content_of(record: Record) -> RecordContent:
    value_hash = None if record.value is None else hashlib.md5(record.value, usedforsecurity=False).hexdigest()
    return record.key, value_hash, record.headers


def unlanded_ranges(
    landed: Mapping[Place, LandedRange], kafka: Mapping[Place, OffsetRange]
) -> dict[Place, OffsetRange]:
    """Kafka's offsets after bronze's newest."""
    ranges: dict[Place, OffsetRange] = {}
    for place, held in kafka.items():
        found = landed.get(place)
        start = max(held.start, found.last_offset + 1) if found else held.start
        if start < held.end:
            ranges[place] = OffsetRange(start, held.end)
    return ranges


def read_unlanded(log: KafkaLog, ranges: Mapping[Place, OffsetRange], missing: frozenset[ReceiptId]) -> Unlanded:
    """Reads the stamps of the records that still have to land."""
    counts: Counter[tuple[str, datetime, str]] = Counter()
    found: set[ReceiptId] = set()
    for record in log.read(ranges):
        if record.app_id is not None and record.received_at is not None:
            hour = record.received_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
            counts[record.app_id, hour, record.topic] += 1
        if record.app_id is not None and record.event_id is not None and (record.app_id, record.event_id) in missing:
            found.add((record.app_id, record.event_id))
    return Unlanded(sum(item.end - item.start for item in ranges.values()), counts, frozenset(found))


def check_acknowledged(session: duckdb.DuckDBPyConnection, ledger: Sequence[Count], unlanded: Unlanded) -> Finding:
    """Per app, hour and topic no more was acknowledged than is held."""
    finding = Finding("acknowledged_events_are_held", "I1", "no hour acknowledged more than landed or waits in Kafka")
    rows = [(app, hour, topic, count) for (app, hour, topic), count in unlanded.by_ledger_key.items()]
    for table, counts in (("ledger", list(ledger)), ("unlanded", rows)):
        session.execute(
            f"create or replace temp table {table} (app_id varchar, received_hour timestamptz, topic varchar, event_count bigint)"
        )
        if counts:
            apps, hours, topics, numbers = (list(column) for column in zip(*counts, strict=True))
            session.execute(
                f"insert into {table} select unnest($apps), unnest($hours), unnest($topics), unnest($numbers)",
                {"apps": apps, "hours": hours, "topics": topics, "numbers": numbers},
            )
    if bool(session.execute("select count(*) from ledger").fetchall()[0][0]):
        queries.gather(session, "i1_acknowledged", finding)
    return finding


@dataclass(frozen=True)
class Receipts:
    """How many there are, the ids among them that bronze does not hold, and how many lines are none."""

    count: int = 0
    missing: frozenset[ReceiptId] = frozenset()
    unreadable_count: int = 0


def read_receipts(session: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> Receipts:
    """A line that a kill cut short, which has no end, is no receipt; any other that cannot be read is one that cannot be checked."""
    present = [str(path) for path in files if path.exists() and path.stat().st_size > 0]
    if not present:
        return Receipts()
    session.execute(
        "create or replace temp table receipts as select app_id, event_id from read_json($files, format => 'newline_delimited', "
        "columns => {app_id: 'VARCHAR', event_id: 'VARCHAR'}, ignore_errors => true) where app_id is not null and event_id is not null",
        {"files": present},
    )
    count = session.execute("select count(*) from receipts").fetchall()[0][0]
    rows = session.execute(queries.load("i1_receipts")).fetchall()
    return Receipts(count, frozenset((app, event) for app, event in rows), max(0, _count_ends(present) - count))


def _count_ends(files: Sequence[str]) -> int:
    """Lines that have an end, empty ones left out."""
    ends = 0
    for name in files:
        with Path(name).open("rb") as file:
            ends += sum(1 for line in file if line.endswith(b"\n") and line.strip())
    return ends


def check_receipts(receipts: Receipts, unlanded: Unlanded) -> Finding:
    """Every event that a client has a receipt for is in bronze, or waits in Kafka."""
    finding = Finding("receipts_are_held", "I1", f"all {receipts.count} receipts are held")
    missing = sorted(receipts.missing - unlanded.receipts)
    finding.add(f"{app}/{event} is acknowledged and nowhere" for app, event in missing)
    if receipts.unreadable_count:
        finding.add([f"{receipts.unreadable_count} lines are no receipts with an app_id and an event_id"])
    if unlanded.receipts:
        finding.note(f"{len(unlanded.receipts)} of them still have to land")
    return finding
