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

from storage.lake import open_lake
from storage.publications import Publication, current_base, encode, latest
from storage.settings import StorageSettings
from storage.tables import TableSpec

WRITER_LOCK = 7_401_002


class PromotionError(Exception):
    """A promotion could not be made."""


class StaleBaseError(PromotionError):
    """Another publication came between build and promotion: build again on the new base. Retryable."""


class LockTimeoutError(PromotionError):
    """The writer's lock was not free in time. Retryable."""


@dataclass(frozen=True)
class Candidate:
    """A checked build that wants to be published: what it built, from what, and why."""

    build_file: Path
    hours: tuple[datetime, ...]
    base_publication_id: int | None
    cause: str
    run_id: str
    bronze_version: int
    highest_offsets: dict[str, dict[str, int]]
    code_version: str


@dataclass(frozen=True)
class Difference:
    """Rows of one table that are in the build but not published (`added`), and the reverse (`removed`)."""

    table: str
    added: int
    removed: int


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
    """
    newest = latest(engine)
    _check_base(candidate, newest.publication_id if newest else None)
    with open_lake(settings, read_only=False) as lake:
        _attach_build(lake, candidate)
        lake.execute("begin")
        row = lake.execute("select max(publication_id) from lake.operations.publications").fetchone()
        _check_base(candidate, row[0] if row else None)
        differences = [apply_difference(lake, spec) for spec in specs]
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
            published_at=published_at or datetime.now(UTC),
            changes={item.table: {"added": item.added, "removed": item.removed} for item in differences},
        )
        _commit(lake, publication)
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


def _attach_build(lake: duckdb.DuckDBPyConnection, candidate: Candidate) -> None:
    """Attaches the build and makes the run's scope: its hours, and their days, as temporary tables."""
    lake.execute(f"ATTACH '{candidate.build_file}' AS build (READ_ONLY)")
    lake.execute("create temp table scope_hours as select unnest(?::timestamptz[]) as value", [list(candidate.hours)])
    lake.execute("create temp table scope_days as select distinct cast(value as date) as value from scope_hours")


def scope_condition(lake: duckdb.DuckDBPyConnection, spec: TableSpec) -> str:
    """The condition for the rows of a table that the run replaces; constant bounds let files be pruned."""
    scope_table, kind = ("scope_hours", "timestamptz") if spec.scope == "event_hour" else ("scope_days", "date")
    bounds = lake.execute(f"select min(value)::varchar, max(value)::varchar from {scope_table}").fetchone()
    if bounds is None or bounds[0] is None:
        raise PromotionError("The run names no hours.")
    first, last = bounds
    days = lake.execute("select min(value)::varchar, max(value)::varchar from scope_days").fetchone()
    by_day = f"event_date between date '{days[0]}' and date '{days[1]}' and " if days else ""
    return (
        f"{by_day}{spec.scope} between {kind} '{first}' and {kind} '{last}' "
        f"and {spec.scope} in (select value from {scope_table})"
    )


def apply_difference(lake: duckdb.DuckDBPyConnection, spec: TableSpec) -> Difference:
    """Makes the published rows of the scope equal to the build's, touching only rows that differ. Whole rows are compared.

    Raises:
        PromotionError: the numbers of rows are not equal then, because the build has one row twice.
    """
    condition = scope_condition(lake, spec)
    columns, name = spec.column_list, spec.qualified_name
    for target, left, right in (("removed", "lake", "build"), ("added", "build", "lake")):
        lake.execute(f"create or replace temp table {target} as {_rows_without_equal(spec, condition, left, right)}")
    removed, added = (_count(lake, table) for table in ("removed", "added"))
    built, published = (_count(lake, f"{side}.{name} where {condition}") for side in ("build", "lake"))
    if built != published - removed + added:
        raise PromotionError(
            f"{name} has {built} rows in the build, but would have {published - removed + added}: a row is there twice."
        )
    if removed:
        match = " and ".join(f'published."{column}" is not distinct from removed."{column}"' for column in spec.key)
        lake.execute(
            f"delete from lake.{name} as published where {condition} and exists (select 1 from removed where {match})"
        )
    if added:
        lake.execute(f"insert into lake.{name} ({columns}) select {columns} from added order by {spec.scope}")
    return Difference(name, added, removed)


def _rows_without_equal(spec: TableSpec, condition: str, left: str, right: str) -> str:
    """The left rows of the scope that have no equal on the right. `except all` would number all rows first, at four times the cost."""
    equal = " and ".join(f'this."{column}" is not distinct from other."{column}"' for column, _ in spec.columns)
    return (
        f"select {spec.column_list} from {left}.{spec.qualified_name} as this where {condition} and not exists "
        f"(select 1 from (select {spec.column_list} from {right}.{spec.qualified_name} where {condition}) as other where {equal})"
    )


def _count(lake: duckdb.DuckDBPyConnection, rows: str) -> int:
    row = lake.execute(f"select count(*) from {rows}").fetchone()
    return int(row[0]) if row else 0


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


def compare(
    settings: StorageSettings, engine: Engine, specs: Sequence[TableSpec], candidate: Candidate
) -> list[Difference]:
    """What promoting would change, table by table; nothing is written."""
    base = current_base(engine)
    with open_lake(settings, snapshot_id=base.snapshot_id) as lake:
        _attach_build(lake, candidate)
        return [_count_difference(lake, spec) for spec in specs]


def _count_difference(lake: duckdb.DuckDBPyConnection, spec: TableSpec) -> Difference:
    condition = scope_condition(lake, spec)
    added, removed = (
        _count(lake, f"({_rows_without_equal(spec, condition, left, right)})")
        for left, right in (("build", "lake"), ("lake", "build"))
    )
    return Difference(spec.qualified_name, added, removed)
