"""API keys: made once, shown once, kept only as a hash. A key belongs to one app and either writes or reads.

Keys carry 256 random bits, so a plain SHA-256 at rest is enough: there is nothing to guess. Of the key itself the table keeps the first
and the last four characters, so that people can tell keys apart. An app has at most two live keys of a kind: the one in use and, while
it is rotated, the next. How services look keys up: `key_ring.py`.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from storage.control.key_ring import ApiKey, KeyKind, KeyRing, hash_key
from storage.control.tables import api_keys

__all__ = ["ApiKey", "KeyKind", "KeyRing", "create_key", "hash_key", "list_keys", "revoke_key", "rotate_keys"]

PREFIXES: dict[KeyKind, str] = {"write": "tmw_", "read": "tmr_"}
MAX_LIVE_KEYS = 2
_SHOWN_PREFIX_CHARACTERS = 8
_IS_LIVE = sa.and_(
    api_keys.c.revoked_at.is_(None), sa.or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > sa.func.now())
)
KeyState = Literal["live", "expired", "revoked"]


class TooManyKeysError(Exception):
    """The app has two live keys of this kind already."""

    def __init__(self, app_id: str, kind: KeyKind, live: Sequence["KeyRecord"]) -> None:
        ids = ", ".join(key.key_id for key in live)
        super().__init__(f"{app_id} has {len(live)} live {kind} keys ({ids}), at most {MAX_LIVE_KEYS} are allowed")
        self.live = tuple(live)


@dataclass(frozen=True)
class KeyRecord:
    """What is kept of a key: safe to show. Times are the database's."""

    key_id: str
    app_id: str
    kind: KeyKind
    prefix: str
    last_four: str
    state: KeyState
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class NewKey:
    """A key that was made. The plain text is never kept and never part of a printed object."""

    record: KeyRecord
    plaintext: str = field(repr=False)


@dataclass(frozen=True)
class Rotation:
    """A new key, and the keys that it replaces with the moment at which they end."""

    new: NewKey
    replaced: tuple[KeyRecord, ...]


def create_key(engine: Engine, app_id: str, kind: KeyKind) -> str:
    """A new key in plain text: the only time that it is shown. Raises: TooManyKeysError."""
    return issue_key(engine, app_id, kind).plaintext


def issue_key(engine: Engine, app_id: str, kind: KeyKind, expires_after: timedelta | None = None) -> NewKey:
    """A new key, live until it is revoked or `expires_after` from now. Raises: TooManyKeysError."""
    with engine.begin() as connection:
        live = _lock_live(connection, app_id, kind)
        if len(live) >= MAX_LIVE_KEYS:
            raise TooManyKeysError(app_id, kind, live)
        return _insert(connection, app_id, kind, expires_after)


def rotate_keys(engine: Engine, app_id: str, kind: KeyKind, grace: timedelta = timedelta(0)) -> Rotation:
    """A new key; the live ones end after `grace`, or at once without any. A key that would end earlier still does.

    Raises: TooManyKeysError when a grace would leave three live keys.
    """
    with engine.begin() as connection:
        live = _lock_live(connection, app_id, kind)
        if grace and len(live) >= MAX_LIVE_KEYS:
            raise TooManyKeysError(app_id, kind, live)
        update = sa.update(api_keys).where(api_keys.c.key_id.in_([key.key_id for key in live]))
        if grace:
            ends_at = sa.func.now() + grace
            # least() of PostgreSQL passes over nulls: a key without an end gets one.
            connection.execute(update.values(expires_at=sa.func.least(api_keys.c.expires_at, ends_at)))
        else:
            connection.execute(update.values(revoked_at=sa.func.now()))
        replaced = _read(connection, api_keys.c.key_id.in_([key.key_id for key in live]))
        return Rotation(_insert(connection, app_id, kind, None), tuple(replaced))


def revoke_key(engine: Engine, key_id: str) -> bool:
    """True when the key was not revoked before. Idempotent."""
    statement = (
        sa.update(api_keys)
        .where(api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=sa.func.now())
    )
    with engine.begin() as connection:
        return connection.execute(statement).rowcount > 0


def list_keys(engine: Engine, app_id: str | None = None, *, key_id: str | None = None) -> list[KeyRecord]:
    """Every key ever made, of one app or with one id when given, by app, kind and age."""
    conditions = []
    if app_id is not None:
        conditions.append(api_keys.c.app_id == app_id)
    if key_id is not None:
        conditions.append(api_keys.c.key_id == key_id)
    with engine.connect() as connection:
        return _read(connection, *conditions)


def _lock_live(connection: Connection, app_id: str, kind: KeyKind) -> list[KeyRecord]:
    """The live keys; until the transaction ends nobody else makes one of this app and kind."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"keys:{kind}:{app_id}", 0))))
    return _read(connection, api_keys.c.app_id == app_id, api_keys.c.kind == kind, _IS_LIVE)


def _insert(connection: Connection, app_id: str, kind: KeyKind, expires_after: timedelta | None) -> NewKey:
    plaintext = PREFIXES[kind] + secrets.token_urlsafe(32)
    key_id = f"{kind}_{secrets.token_hex(4)}"
    connection.execute(
        sa.insert(api_keys).values(
            key_hash=hash_key(plaintext),
            key_id=key_id,
            app_id=app_id,
            kind=kind,
            prefix=plaintext[:_SHOWN_PREFIX_CHARACTERS],
            last_four=plaintext[-4:],
            expires_at=None if expires_after is None else sa.func.now() + expires_after,
        )
    )
    [record] = _read(connection, api_keys.c.key_id == key_id)
    return NewKey(record, plaintext)


def _read(connection: Connection, *conditions: sa.ColumnElement[bool]) -> list[KeyRecord]:
    columns = api_keys.c
    state = sa.case((columns.revoked_at.is_not(None), "revoked"), (_IS_LIVE, "live"), else_="expired")
    statement = (
        sa.select(api_keys, state.label("state"))
        .where(*conditions)
        .order_by(columns.app_id, columns.kind, columns.created_at, columns.key_id)
    )
    return [
        KeyRecord(
            key_id=row.key_id,
            app_id=row.app_id,
            kind=row.kind,
            prefix=row.prefix,
            last_four=row.last_four,
            state=row.state,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
        )
        for row in connection.execute(statement)
    ]
