"""Housekeeping of the lake: expires named snapshots, merges small files, cleans up files that nothing refers to.

DuckLake merges no file that has lost rows, and a table whose rows are replaced while their hour runs has hardly another: those are written
anew first.

Always under the writer's lock; readers of kept snapshots are never disturbed. Idempotent.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb
import sqlalchemy as sa
from sqlalchemy import Engine

from storage.control.plans import snapshots_in_use
from storage.lake import open_lake
from storage.promotion import writer_lock
from storage.publications import listing
from storage.settings import StorageSettings
from storage.tables import CATALOG_SCHEMA

# Files that lost this share of their rows are written anew; of a table that has many which lost less, all are. A day's file from which a
# late event took one row is left alone.
REWRITTEN_SHARE = 0.05
MANY_FILES = 20
# What no catalog knows was left by a writer that died, or belongs to one that is at work: none works for so long.
ORPHANED_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Expiry:
    """What an expiry removed, or would remove."""

    expired_publications: tuple[int, ...]
    expired_snapshots: tuple[int, ...]


def restating_publications(settings: StorageSettings) -> set[int]:
    """The publications that the restatement ledger has rows of."""
    with open_lake(settings) as lake:
        rows = lake.execute("select distinct publication_id from lake.operations.restatements").fetchall()
    return {row[0] for row in rows}


def plan_expiry(engine: Engine, kept_publications: Collection[int]) -> Expiry:
    """Snapshots that hold no kept publication and that no plan is being built from. The newest snapshot always stays."""
    in_use = snapshots_in_use(engine, datetime.now(UTC))
    publications = {item.snapshot_id: item.publication_id for item in listing(engine, limit=1_000_000)}
    with engine.connect() as connection:
        snapshots = (
            connection.execute(
                sa.text(f"select snapshot_id from {CATALOG_SCHEMA}.ducklake_snapshot order by snapshot_id")
            )
            .scalars()
            .all()
        )
    expired = tuple(
        snapshot
        for snapshot in snapshots[:-1]
        if snapshot not in in_use and (snapshot not in publications or publications[snapshot] not in kept_publications)
    )
    return Expiry(tuple(publications[snapshot] for snapshot in expired if snapshot in publications), expired)


def expire(
    settings: StorageSettings,
    engine: Engine,
    choose_kept: Callable[[], Collection[int]],
    *,
    delete_older_than: datetime,
) -> Expiry:
    """Expires what `plan_expiry` names, merges small files, deletes files that nothing refers to since before the moment given.

    `choose_kept` is asked for the publications to keep while nobody can publish.
    """
    with writer_lock(engine):
        plan = plan_expiry(engine, choose_kept())
        with open_lake(settings, read_only=False) as lake:
            if plan.expired_snapshots:
                versions = ", ".join(str(snapshot) for snapshot in plan.expired_snapshots)
                lake.execute(f"call ducklake_expire_snapshots('lake', versions => [{versions}])")
            _rewrite(engine, lake)
            lake.execute("call ducklake_merge_adjacent_files('lake')")
            lake.execute("call ducklake_cleanup_old_files('lake', older_than => ?::timestamptz)", [delete_older_than])
            orphaned = min(delete_older_than, datetime.now(UTC) - ORPHANED_AFTER)
            lake.execute("call ducklake_delete_orphaned_files('lake', older_than => ?::timestamptz)", [orphaned])
    return plan


def _rewrite(engine: Engine, lake: duckdb.DuckDBPyConnection) -> None:
    """Writes files anew without the rows that they lost."""
    lake.execute("call ducklake_rewrite_data_files('lake', delete_threshold => ?)", [REWRITTEN_SHARE])
    with engine.connect() as connection:
        many = connection.execute(
            sa.text(
                f"select schema_name, table_name from {CATALOG_SCHEMA}.ducklake_delete_file as files "
                f"join {CATALOG_SCHEMA}.ducklake_table as tables on tables.table_id = files.table_id "
                f"join {CATALOG_SCHEMA}.ducklake_schema as schemas on schemas.schema_id = tables.schema_id "
                "where files.end_snapshot is null and tables.end_snapshot is null and schemas.end_snapshot is null "
                "group by schema_name, table_name having count(*) > :many"
            ),
            {"many": MANY_FILES},
        ).all()
    for schema, table in many:
        lake.execute("call ducklake_rewrite_data_files('lake', ?, schema => ?, delete_threshold => 0)", [table, schema])
