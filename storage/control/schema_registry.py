"""The schema registry's tables: schemas by a global id, the versions of subjects that point to them, and compatibility levels.

A schema row is never changed or deleted: records in bronze name it by its id for ever. What a registry answers is decided elsewhere, on
a state that is read whole (a registry holds thousands of rows, not millions) and changed under one lock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from storage.control.tables import registry_levels, registry_schemas, registry_versions

GLOBAL = ""
"""The subject that stands for all in the levels."""
_LOCK = 7_401_003  # any constant that nothing else locks


@dataclass(frozen=True)
class RegisteredSchema:
    """One schema in canonical text. The same text has the same id whatever subjects it is registered under."""

    schema_id: int
    text: str
    fingerprint: str


@dataclass(frozen=True)
class Version:
    """A subject's version. A deleted one is only hidden: its number is not given again while it is there."""

    subject: str
    version: int
    schema_id: int
    is_deleted: bool = False


@dataclass(frozen=True)
class Change:
    """What one call adds and removes. A level of None falls back to the global one."""

    schema: RegisteredSchema | None = None
    versions: tuple[Version, ...] = ()
    removed: tuple[Version, ...] = ()
    levels: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class RegistryState:
    """Everything that is registered. Versions are in order of subject and number."""

    schemas: Mapping[int, RegisteredSchema] = field(default_factory=dict)
    versions: tuple[Version, ...] = ()
    levels: Mapping[str, str] = field(default_factory=dict)

    def after(self, change: Change) -> "RegistryState":
        """The state with the change made."""
        touched = {(item.subject, item.version) for item in (*change.versions, *change.removed)}
        kept = [item for item in self.versions if (item.subject, item.version) not in touched]
        levels = {**self.levels, **change.levels}
        return replace(
            self,
            schemas={**self.schemas, change.schema.schema_id: change.schema} if change.schema else self.schemas,
            versions=tuple(sorted([*kept, *change.versions], key=lambda item: (item.subject, item.version))),
            levels={subject: level for subject, level in levels.items() if level is not None},
        )


Decision = Callable[[RegistryState], Change]
"""From the state to what becomes of it; raises to change nothing."""


def read(engine: Engine) -> RegistryState:
    """The whole registry."""
    with engine.connect() as connection:
        return _read(connection)


def find_text(engine: Engine, schema_id: int) -> str | None:
    """The text of one schema, None where there is none."""
    columns = registry_schemas.c
    if not 0 <= schema_id < 2**31:
        return None
    with engine.connect() as connection:
        return connection.execute(sa.select(columns.schema_text).where(columns.schema_id == schema_id)).scalar()


def all_texts(engine: Engine) -> dict[int, str]:
    """Id → text of every schema."""
    columns = registry_schemas.c
    with engine.connect() as connection:
        rows = connection.execute(sa.select(columns.schema_id, columns.schema_text).order_by(columns.schema_id))
        return {row.schema_id: row.schema_text for row in rows}


def change(engine: Engine, decide: Decision) -> RegistryState:
    """The state after the change that `decide` makes of the newest one, in one transaction. Callers wait for each other."""
    with engine.begin() as connection:
        connection.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        state = _read(connection)
        decided = decide(state)
        _write(connection, decided)
    return state.after(decided)


def _read(connection: Connection) -> RegistryState:
    schemas, versions, levels = registry_schemas.c, registry_versions.c, registry_levels.c
    found = connection.execute(sa.select(schemas.schema_id, schemas.schema_text, schemas.fingerprint))
    numbered = connection.execute(
        sa.select(
            versions.subject, versions.version, versions.schema_id, versions.deleted_at.is_not(None).label("gone")
        )
    )
    listed = [Version(row.subject, row.version, row.schema_id, row.gone) for row in numbered]
    return RegistryState(
        {row.schema_id: RegisteredSchema(row.schema_id, row.schema_text, row.fingerprint) for row in found},
        tuple(sorted(listed, key=lambda item: (item.subject, item.version))),
        {row.subject: row.level for row in connection.execute(sa.select(levels.subject, levels.level))},
    )


def _write(connection: Connection, decided: Change) -> None:
    if decided.schema is not None:
        values = {
            "schema_id": decided.schema.schema_id,
            "schema_text": decided.schema.text,
            "fingerprint": decided.schema.fingerprint,
        }
        connection.execute(sa.insert(registry_schemas).values(values))
    for item in decided.versions:
        statement = insert(registry_versions).values(
            subject=item.subject,
            version=item.version,
            schema_id=item.schema_id,
            deleted_at=sa.func.now() if item.is_deleted else None,
        )
        statement = statement.on_conflict_do_update(
            index_elements=[registry_versions.c.subject, registry_versions.c.version],
            set_={"schema_id": statement.excluded.schema_id, "deleted_at": statement.excluded.deleted_at},
        )
        connection.execute(statement)
    for item in decided.removed:
        columns = registry_versions.c
        connection.execute(
            sa.delete(registry_versions).where(columns.subject == item.subject, columns.version == item.version)
        )
    for subject, level in decided.levels.items():
        if level is None:
            connection.execute(sa.delete(registry_levels).where(registry_levels.c.subject == subject))
            continue
        upsert = insert(registry_levels).values(subject=subject, level=level)
        upsert = upsert.on_conflict_do_update(
            index_elements=[registry_levels.c.subject], set_={"level": upsert.excluded.level}
        )
        connection.execute(upsert)
