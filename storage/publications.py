"""Publications as the catalog tells them: one DuckLake snapshot that carries a publication = one state of every table.

Reads the catalog's PostgreSQL tables directly (milliseconds, no DuckDB). Making one: `storage.promotion`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from storage.tables import CATALOG_SCHEMA

HOUR = timedelta(hours=1)
KIND = "tidemark.publication"


@dataclass(frozen=True)
class Publication:
    """A published state. `hours` are the UTC hours its run built; `highest_offsets` the input it has read, per topic and partition.

    `changes` counts rows added and removed per table.
    """

    publication_id: int
    snapshot_id: int
    cause: str
    hours: tuple[datetime, ...]
    run_id: str
    base_publication_id: int | None
    bronze_version: int
    highest_offsets: dict[str, dict[str, int]]
    code_version: str
    published_at: datetime
    changes: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Base:
    """What a build starts from: the newest publication, and the newest snapshot, which holds the same rows."""

    publication: Publication | None
    snapshot_id: int

    @property
    def publication_id(self) -> int | None:
        """Id of the newest publication, None before the first."""
        return self.publication.publication_id if self.publication else None


def latest(engine: Engine) -> Publication | None:
    """The newest publication, None before the first."""
    found = listing(engine, limit=1)
    return found[0] if found else None


def find(engine: Engine, publication_id: int) -> Publication | None:
    """The publication if its snapshot is kept; None when it is expired or never was."""
    found = _read(engine, "and (commit_extra_info::jsonb ->> 'publication_id')::bigint = :id", {"id": publication_id})
    return found[0] if found else None


def listing(engine: Engine, limit: int = 100, before: int | None = None) -> list[Publication]:
    """Kept publications, newest first; `before` pages on from an id."""
    condition = "" if before is None else "and (commit_extra_info::jsonb ->> 'publication_id')::bigint < :before"
    return _read(engine, condition, {"before": before, "limit": limit}, suffix="limit :limit")


def nearest_kept(engine: Engine, publication_id: int) -> Publication | None:
    """The kept publication nearest to an expired id, the newer one of two equally near."""
    candidates = listing(engine, limit=1_000_000)
    key = lambda item: (abs(item.publication_id - publication_id), -item.publication_id)  # noqa: E731 - used once
    return min(candidates, key=key, default=None)


def current_base(engine: Engine) -> Base:
    """The newest publication and the newest snapshot. Snapshots without a publication change no rows."""
    with engine.connect() as connection:
        snapshot_id = connection.execute(
            sa.text(f"select max(snapshot_id) from {CATALOG_SCHEMA}.ducklake_snapshot")
        ).scalar_one()
    publication = latest(engine)
    return Base(publication, max(snapshot_id, publication.snapshot_id if publication else 0))


def _read(engine: Engine, condition: str, parameters: dict[str, Any], suffix: str = "") -> list[Publication]:
    query = sa.text(
        f"select snapshot_id, commit_extra_info from {CATALOG_SCHEMA}.ducklake_snapshot_changes "
        f"join {CATALOG_SCHEMA}.ducklake_snapshot using (snapshot_id) "
        f"where commit_extra_info like :kind {condition} order by snapshot_id desc {suffix}"
    )
    bound = {
        "kind": f'{{"kind": "{KIND}"%',
        **{name: value for name, value in parameters.items() if f":{name}" in str(query)},
    }
    with engine.connect() as connection:
        exists = connection.execute(
            sa.text("select to_regclass(:name)"), {"name": f"{CATALOG_SCHEMA}.ducklake_snapshot_changes"}
        ).scalar()
        if exists is None:
            return []
        rows = connection.execute(query, bound).all()
    return [decode(row.snapshot_id, row.commit_extra_info) for row in rows]


def encode(publication: Publication) -> str:
    """The commit message's extra info; `kind` comes first, so that a prefix finds publications."""
    return json.dumps(
        {
            "kind": KIND,
            "publication_id": publication.publication_id,
            "cause": publication.cause,
            "hours": compress_hours(publication.hours),
            "run_id": publication.run_id,
            "base_publication_id": publication.base_publication_id,
            "bronze_version": publication.bronze_version,
            "highest_offsets": publication.highest_offsets,
            "code_version": publication.code_version,
            "published_at": publication.published_at.isoformat(),
            "changes": publication.changes,
        }
    )


def decode(snapshot_id: int, extra_info: str) -> Publication:
    """The publication that a snapshot's extra info describes."""
    fields = json.loads(extra_info)
    return Publication(
        publication_id=fields["publication_id"],
        snapshot_id=snapshot_id,
        cause=fields["cause"],
        hours=expand_hours(fields["hours"]),
        run_id=fields["run_id"],
        base_publication_id=fields["base_publication_id"],
        bronze_version=fields["bronze_version"],
        highest_offsets=fields["highest_offsets"],
        code_version=fields["code_version"],
        published_at=datetime.fromisoformat(fields["published_at"]),
        changes=fields["changes"],
    )


def compress_hours(hours: Iterable[datetime]) -> list[list[str]]:
    """Hours as half-open ranges [[from, to), ...], so that a year's import fits a commit message."""
    ranges: list[list[datetime]] = []
    for hour in sorted(set(hours)):
        if ranges and ranges[-1][1] == hour:
            ranges[-1][1] = hour + HOUR
        else:
            ranges.append([hour, hour + HOUR])
    return [[start.isoformat(), end.isoformat()] for start, end in ranges]


def expand_hours(ranges: Sequence[Sequence[str]]) -> tuple[datetime, ...]:
    """The hours of half-open ranges, in order."""
    hours: list[datetime] = []
    for start_text, end_text in ranges:
        hour = datetime.fromisoformat(start_text).astimezone(UTC)
        end = datetime.fromisoformat(end_text).astimezone(UTC)
        while hour < end:
            hours.append(hour)
            hour += HOUR
    return tuple(hours)
