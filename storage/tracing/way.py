"""Follows one event: bronze first, which has every record, then what Kafka, silver, gold and the publications say of each."""

from dataclasses import dataclass

import duckdb
import sqlalchemy as sa
from sqlalchemy import Engine

from ingestion.contracts.quarantine import Coordinates
from storage import lake, publications
from storage.bronze import landed_offsets, latest_version
from storage.control.hours import IS_DIRTY
from storage.control.tables import hours
from storage.settings import StorageSettings
from storage.tracing.bronze_scan import ANY_DAY, BronzeScan, Days, Progress, made_after
from storage.tracing.commits import Commits
from storage.tracing.lake_rows import LakeRows
from storage.tracing.model import Trace, Waiting
from storage.verification.errors import ServiceUnreachableError
from storage.verification.kafka_log import BrokerLog, KafkaLog, OffsetRange, Place


@dataclass(frozen=True)
class Bounds:
    """Where to look. `is_full`: also in files that an id of version 7 cannot lie in if clocks are right."""

    days: Days = ANY_DAY
    is_full: bool = False


EVERYWHERE = Bounds()


def trace(
    settings: StorageSettings,
    engine: Engine,
    event_id: str,
    app_id: str | None,
    bounds: Bounds = EVERYWHERE,
    *,
    kafka: KafkaLog | None = None,
    progress: Progress = lambda _: None,
) -> Trace:
    """Everything that is known of an event. Raises: SQLAlchemyError when PostgreSQL does not answer; without it nothing can be told."""
    found = Trace(event_id, app_id)
    base = publications.current_base(engine)
    version = latest_version(settings)
    with lake.open_lake(settings, snapshot_id=base.snapshot_id) as session:
        if version is None:
            found.scanned.append("bronze: there is none yet")
        else:
            _follow(found, session, settings, version, bounds, progress)
        published = base.publication.publication_id if base.publication else None
        found.scanned.append(
            "publication: none yet" if published is None else f"publication {published}: silver and gold at it"
        )
    _explain_waits(found, engine)
    log = kafka or BrokerLog(settings.kafka_bootstrap_servers, settings.topics.landed)
    _look_into_kafka(found, settings, log, version, progress)
    return found


def _follow(
    found: Trace,
    session: duckdb.DuckDBPyConnection,
    settings: StorageSettings,
    version: int,
    bounds: Bounds,
    progress: Progress,
) -> None:
    """Bronze, then the lake."""
    scan, rows = BronzeScan(session, settings, version), LakeRows(session)
    landed_after = None if bounds.is_full else made_after(found.event_id)
    copies, said = scan.by_id(found.event_id, found.app_id, bounds.days, landed_after, progress)
    found.scanned.append(said)
    progress("silver and gold")
    known = {copy.coordinates: copy for copy in copies}
    origins = {copy.redrive_of for copy in copies if copy.redrive_of is not None} - set(known)
    known |= {copy.coordinates: copy for copy in scan.at(origins)}
    recovering = rows.redriven_as(set(known))
    known |= {
        copy.coordinates: copy for copy in scan.at({place for of in recovering.values() for place in of} - set(known))
    }
    for origin, places in recovering.items():
        known[origin].redriven_as = places
    found.copies = sorted(known.values(), key=lambda copy: (copy.ingested_at, copy.coordinates))
    rows.fill(found.copies)
    commits = Commits(session, settings.bronze_uri, version)
    for copy in found.copies:
        copy.bronze_version, copy.is_version_exact = commits.version_of(copy.coordinates)


def _explain_waits(found: Trace, engine: Engine) -> None:
    """Says of each record that is not published why it waits."""
    wanted = sorted({copy.event_hour for copy in found.copies})
    statement = sa.select(hours.c.hour, hours.c.blocked_by, IS_DIRTY.label("is_dirty")).where(hours.c.hour.in_(wanted))
    with engine.connect() as connection:
        states = {row.hour: row for row in connection.execute(statement)}
    for copy in found.copies:
        state = states.get(copy.event_hour)
        if copy.edge == "pointer" or copy.publications:
            continue
        if state is None:
            copy.waits_for = "the arrivals sensor to see its commit"
        elif state.blocked_by:
            copy.waits_for = f"its hour, which is blocked by {state.blocked_by}"
        elif state.is_dirty:
            copy.waits_for = "the next run: its hour is due"
        else:
            copy.waits_for = "the arrivals sensor to see its commit; when it never does, run `tidemark verify`"


def _look_into_kafka(
    found: Trace, settings: StorageSettings, log: KafkaLog, version: int | None, progress: Progress
) -> None:
    """Records behind bronze's newest offsets: accepted, and not landed yet."""
    try:
        landed = {} if version is None else landed_offsets(settings, version)
        ranges: dict[Place, OffsetRange] = {}
        for (topic, partition), held in log.offset_ranges().items():
            start = max(held.start, landed.get(topic, {}).get(partition, -1) + 1)
            ranges[topic, partition] = OffsetRange(start, held.end)
        count = sum(max(0, item.end - item.start) for item in ranges.values())
        progress(f"Kafka: {count:,} records that have not landed")
        for record in log.read(ranges):
            if record.event_id == found.event_id and found.app_id in (None, record.app_id):
                place = Coordinates(record.topic, record.partition, record.offset)
                found.waiting.append(Waiting(place, record.app_id, record.received_at))
        found.scanned.append(f"Kafka: {count:,} records that have not landed")
    except ServiceUnreachableError as error:
        found.unreachable.append(f"{error.service}: what has not landed yet was not looked at")
