"""Verifies I1-I6 once. The only entry point; the work is in the modules beside it.

It opens Kafka, PostgreSQL, bronze and the lake for reading, takes no lock, and may run beside everything else.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa

from ingestion.contracts.topics import TopicNames
from storage import lake, publications
from storage.control import acknowledged, make_engine, schema_registry
from storage.control.acknowledged import Count
from storage.duckdb_session import open_session
from storage.publications import Publication
from storage.settings import StorageSettings
from storage.verification import landing, publication_order, published_state, queries, scope
from storage.verification.avro_bodies import AvroReader
from storage.verification.errors import ServiceUnreachableError
from storage.verification.kafka_log import BrokerLog, KafkaLog, OffsetRange, Place
from storage.verification.report import Finding, Report


def verify(
    settings: StorageSettings,
    *,
    receipts: Sequence[Path] = (),
    newest_days: int | None = None,
    kafka: KafkaLog | None = None,
) -> Report:
    """Checks everything, or I2-I4 and I6 of the newest days that hold data only; I1 and I5 are always whole.

    Raises:
        ServiceUnreachableError: PostgreSQL or Kafka does not answer; nothing is verified then.
    """
    log = kafka or BrokerLog(settings.kafka_bootstrap_servers, settings.topics.landed)
    ledger, pinned, kept = _read_promises(settings)
    with _session(settings, pinned) as session:
        queries.set_variables(
            session,
            bronze_uri=settings.bronze_uri,
            bronze_version=pinned.bronze_version,
            horizon_days=settings.deduplication_horizon_days,
            late_after_seconds=settings.late_after_seconds,
        )
        queries.run_script(session, "bronze" if pinned.bronze_version is not None else "empty_bronze")
        queries.run_script(session, "macros")
        if pinned.publication is None:
            queries.run_script(session, "empty_lake")  # before the first one, the same checks run over empty tables
        findings: list[Finding] = []
        claimed = pinned.publication.highest_offsets if pinned.publication else {}
        counts = _check_landing(session, settings.topics, log, ledger, receipts, claimed, findings)
        scope.write_cutoffs(session, pinned, settings.bronze_uri)
        counts |= _check_published(session, settings, kept, newest_days, findings)
    order = {f"I{number}": number for number in range(1, 7)}
    findings.sort(key=lambda finding: order[finding.invariant])
    return Report(tuple(finding.check() for finding in findings), counts)


def _read_promises(settings: StorageSettings) -> tuple[list[Count], scope.Scope, list[Publication]]:
    """The ledger first, then the pinned state, then the publications that are kept: PostgreSQL's part."""
    engine = make_engine(settings, pool_size=1)
    try:
        ledger = acknowledged.read_all(engine)
        pinned = scope.pin(engine, settings)
        newest = pinned.publication.publication_id if pinned.publication else -1
        kept = [item for item in publications.listing(engine, limit=1_000_000) if item.publication_id <= newest]
    except sa.exc.OperationalError as error:
        address = settings.database_url.rpartition("@")[2]  # never the password
        raise ServiceUnreachableError("PostgreSQL", address, type(error.orig).__name__) from error
    finally:
        engine.dispose()
    return ledger, pinned, kept


def _is_kept(settings: StorageSettings, publication_id: int) -> bool:
    engine = make_engine(settings, pool_size=1)
    try:
        return publications.find(engine, publication_id) is not None
    finally:
        engine.dispose()


def _read_schemas(settings: StorageSettings) -> dict[int, str]:
    """The texts of registered schemas by id."""
    engine = make_engine(settings, pool_size=1)
    try:
        return schema_registry.all_texts(engine)
    finally:
        engine.dispose()


def _session(settings: StorageSettings, pinned: scope.Scope) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    """DuckDB with the lake at the pinned publication, when there is one."""
    if pinned.publication is None:
        return open_session(settings)
    return lake.open_lake(settings, snapshot_id=pinned.publication.snapshot_id)


def _check_landing(
    session: duckdb.DuckDBPyConnection,
    names: TopicNames,
    log: KafkaLog,
    ledger: Sequence[Count],
    receipts: Sequence[Path],
    claimed: Mapping[str, Mapping[str, int]],
    findings: list[Finding],
) -> dict[str, Any]:
    promised = landing.read_receipts(session, receipts)
    held = log.offset_ranges()  # last of all readings: whatever the others name must be within
    landed = landing.landed_ranges(session)
    unlanded = landing.read_unlanded(log, landing.unlanded_ranges(landed, held), promised.missing)
    findings += [
        landing.check_offsets(session, landed, held),
        landing.check_claims(landed, claimed),
        landing.check_acknowledged(session, ledger, unlanded),
        landing.check_receipts(promised, unlanded),
        landing.check_not_ahead(landed, held),
        landing.check_records(session, log, landed, held),
        published_state.check_landing_order(session),
    ]
    good_topics = {names.live, names.imports}
    return {
        "accepted": _record_count(held, good_topics),
        "acknowledged": sum(count for _, _, topic, count in ledger if topic in good_topics),
        "dead_letters": _record_count(held, {names.dead_letters}),
        "receipts": promised.count,
        "waiting_to_land": unlanded.record_count,
    }


def _record_count(held: dict[Place, OffsetRange], names: set[str]) -> int:
    """Records that Kafka holds in these topics: our producers are never transactional, so every offset is a record."""
    return sum(offsets.end - offsets.start for (topic, _), offsets in held.items() if topic in names)


def _check_published(
    session: duckdb.DuckDBPyConnection,
    settings: StorageSettings,
    kept: Sequence[Publication],
    newest_days: int | None,
    findings: list[Finding],
) -> dict[str, Any]:
    """I2-I6 against the pinned publication."""
    published_state.view_later_tables(session)
    findings += published_state.check_redrives(session)
    counted = published_state.day_counts(session, newest_days)
    first_day, last_day = (counted[0][0], counted[-1][0]) if counted else (date.max, date.min)
    horizon = timedelta(days=settings.deduplication_horizon_days if counted else 0)
    queries.set_variables(
        session,
        first_day=first_day,
        last_day=last_day,
        horizon_first_day=first_day - horizon,
        horizon_last_day=last_day + horizon,
    )
    published_state.write_verdicts(session, AvroReader(_read_schemas(settings)))
    repeated, beyond_horizon = published_state.check_repeated_ids(session)
    findings.append(repeated)
    findings += published_state.check_days(session, counted)
    chain = publication_order.read_chain(session)
    findings.append(publication_order.check_chain(chain, kept))
    findings.append(publication_order.check_snapshots(session, kept, settings.lake_uri, partial(_is_kept, settings)))
    return published_state.read_counts(session) | {
        "copies_beyond_horizon": beyond_horizon,
        "publications": len(chain),
        "days_checked": len(counted),
    }
