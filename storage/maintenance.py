"""Housekeeping of the lake: expires named snapshots, merges small files, cleans up files that nothing refers to.

Always under the writer's lock; readers of kept snapshots are never disturbed. Idempotent.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Engine

from storage.lake import open_lake
from storage.promotion import writer_lock
from storage.publications import listing
from storage.settings import StorageSettings
from storage.tables import CATALOG_SCHEMA


@dataclass(frozen=True)
class Expiry:
    """What an expiry removed, or would remove."""

    expired_publications: tuple[int, ...]
    expired_snapshots: tuple[int, ...]


def plan_expiry(engine: Engine, kept_publications: Collection[int]) -> Expiry:
    """Snapshots that hold no kept publication. The newest snapshot always stays."""
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
        if snapshot not in publications or publications[snapshot] not in kept_publications
    )
    return Expiry(tuple(publications[snapshot] for snapshot in expired if snapshot in publications), expired)


def expire(
    settings: StorageSettings, engine: Engine, kept_publications: Collection[int], *, delete_older_than: datetime
) -> Expiry:
    """Expires what `plan_expiry` names, merges small files, deletes unreferenced files older than the moment given."""
    with writer_lock(engine):
        plan = plan_expiry(engine, kept_publications)
        with open_lake(settings, read_only=False) as lake:
            if plan.expired_snapshots:
                versions = ", ".join(str(snapshot) for snapshot in plan.expired_snapshots)
                lake.execute(f"call ducklake_expire_snapshots('lake', versions => [{versions}])")
            lake.execute("call ducklake_merge_adjacent_files('lake')")
            lake.execute("call ducklake_cleanup_old_files('lake', older_than => ?::timestamptz)", [delete_older_than])
    return plan
