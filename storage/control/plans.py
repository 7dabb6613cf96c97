"""Kept plans, as rows: builds that somebody may have published later. Files: `storage.plan_files`, applying: `storage.plan_application`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy import Engine, Row

from storage.comparison import DayDifference, parse_difference
from storage.control.tables import plans
from storage.publications import compress_hours, expand_hours


@dataclass(frozen=True)
class Plan:
    """A plan. `state`: building, ready, applied, dropped or expired; `differences` by table and day, empty when all is equal."""

    plan_id: int
    fingerprint: str
    state: str
    hours: tuple[datetime, ...]
    base_publication_id: int | None
    bronze_version: int
    landed_until: datetime | None
    code_version: str
    file_hash: str | None
    differences: tuple[DayDifference, ...]
    publication_id: int | None
    created_at: datetime
    expires_at: datetime

    @property
    def days(self) -> tuple[date, ...]:
        """UTC days of the hours, ascending."""
        return tuple(sorted({hour.date() for hour in self.hours}))

    @property
    def run_id(self) -> str:
        """What stands for a run in the publication that it becomes."""
        return f"plan-{self.plan_id}"


def open_plan(
    engine: Engine,
    *,
    fingerprint: str,
    hours: Sequence[datetime],
    base_publication_id: int | None,
    base_snapshot_id: int,
    bronze_version: int,
    landed_until: datetime | None,
    code_version: str,
    expires_at: datetime,
) -> Plan:
    """A new plan, in state building. `landed_until`: the `ingested_at` that tells rows of its bronze version from later ones."""
    statement = sa.insert(plans).values(
        fingerprint=fingerprint,
        state="building",
        hours=compress_hours(hours),
        base_publication_id=base_publication_id,
        base_snapshot_id=base_snapshot_id,
        bronze_version=bronze_version,
        landed_until=landed_until,
        code_version=code_version,
        expires_at=expires_at,
    )
    with engine.begin() as connection:
        return _plan(connection.execute(statement.returning(plans)).one())


def find_ready(engine: Engine, fingerprint: str, now: datetime) -> Plan | None:
    """The newest plan of the same hours, base, input and code that can still be applied."""
    wanted = sa.and_(plans.c.fingerprint == fingerprint, plans.c.state == "ready", plans.c.expires_at > now)
    found = _read(engine, wanted, limit=1)
    return found[0] if found else None


def find(engine: Engine, plan_id: int) -> Plan | None:
    """The plan of that id, whatever its state."""
    found = _read(engine, plans.c.plan_id == plan_id, limit=1)
    return found[0] if found else None


def listing(engine: Engine, limit: int = 20) -> list[Plan]:
    """Plans, newest first."""
    return _read(engine, sa.true(), limit=limit)


def list_over(engine: Engine, now: datetime) -> list[Plan]:
    """Plans that keep files though their time is over, those whose building was broken off included."""
    return _read(engine, sa.and_(plans.c.state.in_(("building", "ready")), plans.c.expires_at <= now), limit=1000)


def snapshots_in_use(engine: Engine, now: datetime) -> set[int]:
    """Snapshots of the lake that plans are being built from."""
    statement = sa.select(plans.c.base_snapshot_id).where(plans.c.state == "building", plans.c.expires_at > now)
    with engine.connect() as connection:
        return {snapshot for snapshot in connection.execute(statement).scalars() if snapshot is not None}


def list_applied(engine: Engine, plan_ids: Collection[int]) -> list[int]:
    """Those of these plans that are published."""
    statement = sa.select(plans.c.plan_id).where(plans.c.plan_id.in_(plan_ids), plans.c.state == "applied")
    with engine.connect() as connection:
        return list(connection.execute(statement).scalars())


def mark_ready(engine: Engine, plan_id: int, file_hash: str, differences: Sequence[DayDifference]) -> None:
    """The build is whole, checked and compared."""
    _change(engine, plan_id, state="ready", file_hash=file_hash, differences=[item.as_dict() for item in differences])


def mark_applied(engine: Engine, plan_id: int, publication_id: int | None) -> None:
    """It is published, or there was nothing to publish. Idempotent."""
    _change(engine, plan_id, state="applied", publication_id=publication_id, closed_at=sa.func.now())


def mark_closed(engine: Engine, plan_id: int, state: str) -> None:
    """It can no longer be applied: dropped or expired."""
    _change(engine, plan_id, state=state, closed_at=sa.func.now())


def _change(engine: Engine, plan_id: int, **values: object) -> None:
    with engine.begin() as connection:
        connection.execute(sa.update(plans).where(plans.c.plan_id == plan_id).values(**values))


def _read(engine: Engine, condition: sa.ColumnElement[bool], limit: int) -> list[Plan]:
    statement = sa.select(plans).where(condition).order_by(plans.c.plan_id.desc()).limit(limit)
    with engine.connect() as connection:
        return [_plan(row) for row in connection.execute(statement)]


def _plan(row: "Row[tuple[object, ...]]") -> Plan:
    return Plan(
        plan_id=row.plan_id,
        fingerprint=row.fingerprint,
        state=row.state,
        hours=expand_hours(row.hours),
        base_publication_id=row.base_publication_id,
        bronze_version=row.bronze_version,
        landed_until=row.landed_until,
        code_version=row.code_version,
        file_hash=row.file_hash,
        differences=tuple(parse_difference(item) for item in row.differences),
        publication_id=row.publication_id,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
