"""Promotion: applies the difference between a checked build and the published tables, as one snapshot, or not at all.

The caller has built against `base`; when any other publication came since, `StaleBaseError` tells it to build again. Two guards make
that sure: the writer's advisory lock keeps promotions apart, and the lake's commit is a compare-and-swap on the snapshot id, so that
even a writer that lost its lock cannot publish over another. Idempotent: promoting the same build twice publishes once.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import sqlalchemy as sa
from sqlalchemy import Engine

from runtime.crash_points import CrashPoint, reach
from storage.control.hours import forget_rules
from storage.difference import Difference, attach_build, rows_to_compare, scope_condition, write_difference
from storage.lake import open_lake
from storage.publications import Publication, encode, latest
from storage.restatements import Ledger
from storage.settings import StorageSettings
from storage.tables import TableSpec

WRITER_LOCK = 7_401_002


class PromotionError(Exception):
    """A promotion could not be made."""


class StaleBaseError(PromotionError):
    """Another publication came between build and promotion: build again on the new base. Retryable."""


class UnexpectedChangesError(PromotionError):
    """The difference is not the one that was agreed to. Permanent: look at it again."""


class LockTimeoutError(PromotionError):
    """The writer's lock was not free in time. Retryable."""


@dataclass(frozen=True)
class Candidate:
    """A checked build that wants to be published: what it built, from what, and why.

    Of `grown_hours` it holds, in tables that grow, only the rows to add or replace: rows that it does not name stay.
    `expected_changes`, where given, is what somebody has seen and agreed to: anything else is refused.
    """

    build_file: Path
    hours: tuple[datetime, ...]
    base_publication_id: int | None
    cause: str
    run_id: str
    bronze_version: int
    highest_offsets: dict[str, dict[str, int]]
    code_version: str
    expected_changes: dict[str, dict[str, int]] | None = None
    grown_hours: tuple[datetime, ...] = ()


@contextmanager
def writer_lock(engine: Engine, timeout_seconds: int = 300) -> Iterator[None]:
    """Holds the lake's writer lock. It is a session lock: a killed holder lets go with its connection."""
    with engine.connect() as connection:
        connection.execute(sa.text(f"set lock_timeout = '{int(timeout_seconds)}s'"))
        try:
            connection.execute(sa.text("select pg_advisory_lock(:key)"), {"key": WRITER_LOCK})
        except sa.exc.OperationalError as error:
            raise LockTimeoutError(
                f"The writer's lock was not free within {timeout_seconds} s: another run holds it."
            ) from error
        connection.commit()
        try:
            yield
        finally:
            connection.execute(sa.text("select pg_advisory_unlock(:key)"), {"key": WRITER_LOCK})
            connection.commit()


def promote(
    settings: StorageSettings,
    engine: Engine,
    specs: Sequence[TableSpec],
    candidate: Candidate,
    published_at: datetime | None = None,
) -> Publication | None:
    """The new publication, or None when the build equals what is published. Call under `writer_lock`.

    Raises:
        StaleBaseError: another publication exists since the candidate's base.
        UnexpectedChangesError: the difference is not the candidate's `expected_changes`.
    """
    newest = latest(engine)
    published_at = published_at or datetime.now(UTC)
    _check_base(candidate, newest.publication_id if newest else None)
    # Before the commit: a run that dies behind it leaves hours of which nobody claims to know what they were published from.
    forget_rules(engine, candidate.hours)
    with open_lake(settings, read_only=False) as lake:
        attach_build(lake, candidate.build_file, candidate.hours, candidate.grown_hours)
        lake.execute("begin")
        row = lake.execute("select max(publication_id) from lake.operations.publications").fetchone()
        _check_base(candidate, row[0] if row else None)
        ledger = Ledger(lake, specs, published_at)
        differences = [apply_difference(lake, spec, ledger) for spec in specs]
        changes = {item.table: {"added": item.added, "removed": item.removed} for item in differences}
        if candidate.expected_changes not in (None, changes):
            raise UnexpectedChangesError(f"It would change {changes}, but {candidate.expected_changes} was agreed to.")
        if not any(difference.added or difference.removed for difference in differences):
            lake.execute("rollback")
            return None
        publication = Publication(
            publication_id=(candidate.base_publication_id or 0) + 1,
            snapshot_id=-1,
            cause=candidate.cause,
            hours=candidate.hours,
            run_id=candidate.run_id,
            base_publication_id=candidate.base_publication_id,
            bronze_version=candidate.bronze_version,
            highest_offsets=candidate.highest_offsets,
            code_version=candidate.code_version,
            published_at=published_at,
            changes=changes,
        )
        ledger.write(publication.publication_id, candidate.cause, candidate.run_id, published_at)
        reach(CrashPoint.PUBLICATION_APPLIED)
        _commit(lake, publication)
    reach(CrashPoint.PUBLICATION_COMMITTED)
    committed = latest(engine)
    if committed is None or committed.publication_id < publication.publication_id:
        raise PromotionError(
            f"Publication {publication.publication_id} was committed but the catalog does not show it."
        )
    return committed


def _check_base(candidate: Candidate, newest_id: int | None) -> None:
    if newest_id != candidate.base_publication_id:
        raise StaleBaseError(
            f"Built on publication {candidate.base_publication_id}, but {newest_id} is the newest: build again on it."
        )


def apply_difference(lake: duckdb.DuckDBPyConnection, spec: TableSpec, ledger: Ledger | None = None) -> Difference:
    """Makes the published rows that the build speaks about equal to its own, touching only rows that differ.

    Raises:
        DifferenceError: the build has one row twice.
    """
    condition, name = scope_condition(lake, spec), spec.qualified_name
    difference = write_difference(lake, spec, condition, rows_to_compare(lake, spec))
    if ledger is not None and (difference.added or difference.removed):
        ledger.note(spec, condition)
    if difference.removed:
        match = " and ".join(f'published."{column}" is not distinct from removed."{column}"' for column in spec.key)
        lake.execute(
            f"delete from lake.{name} as published where {condition} and exists (select 1 from removed where {match})"
        )
    if difference.added:
        columns = spec.column_list
        lake.execute(f"insert into lake.{name} ({columns}) select {columns} from added order by {spec.scope}")
    return difference


def _commit(lake: duckdb.DuckDBPyConnection, publication: Publication) -> None:
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
    message = f"publication {publication.publication_id}: {publication.cause}, {len(publication.hours)} hours"
    lake.execute("call lake.set_commit_message('tidemark', ?, extra_info => ?)", [message, encode(publication)])
    try:
        lake.execute("commit")
    except duckdb.Error as error:
        raise StaleBaseError("Another snapshot was committed meanwhile: build again on the new base.") from error
