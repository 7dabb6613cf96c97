"""How services look keys up: from memory, which is read again from PostgreSQL every `refresh_seconds`.

A new or revoked key is seen after at most that long. While PostgreSQL is away or slow, the keys that are known keep working, and only
the lookup that reads waits for it. Uses are noted in memory and written with the next reading, once a minute and key at most.
"""

import hashlib
import hmac
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from storage.control.tables import api_keys

KeyKind = Literal["write", "read"]
REFRESH_SECONDS = 2.0
_EARLY_RELOAD_SECONDS = 0.1
_USE_NOTED_SECONDS = 60.0
_MISS_WAIT_SECONDS = 2.0


@dataclass(frozen=True)
class ApiKey:
    """What a key allows: `kind` on `app_id`. `key_id` is its public name."""

    app_id: str
    kind: KeyKind
    key_id: str


@dataclass(frozen=True)
class _Known:
    """A key that was valid when it was read, until `ends_at` by this process's clock."""

    key: ApiKey
    ends_at: float


def hash_key(plaintext: str) -> str:
    """SHA-256 of a key, hex."""
    return hashlib.sha256(plaintext.encode("utf-8", "surrogateescape")).hexdigest()


class KeyRing:
    """The valid keys and the apps that have any. For several threads."""

    def __init__(
        self, engine: Engine, refresh_seconds: float = REFRESH_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, _Known] = {}
        self._apps: frozenset[str] = frozenset()
        self._uses: set[str] = set()
        self._use_noted_at: dict[str, float] = {}
        self._loaded_at: float | None = None

    def find(self, plaintext: str) -> ApiKey | None:
        """The key, or None when it is unknown, revoked or over. An unknown key makes ten early reloads possible per second."""
        digest = hash_key(plaintext)
        self._reload(max_age_seconds=self._refresh_seconds)
        found = self._match(digest)
        if found is None:
            self._reload(max_age_seconds=_EARLY_RELOAD_SECONDS, wait_seconds=_MISS_WAIT_SECONDS)
            found = self._match(digest)
        if found is not None:
            self._uses.add(found.key_id)
        return found

    def apps_with_keys(self) -> frozenset[str]:
        """The apps that ever had a key, a revoked one included: nobody writes as one of them without a key."""
        self._reload(max_age_seconds=self._refresh_seconds)
        return self._apps

    def _match(self, digest: str) -> ApiKey | None:
        known = self._keys.get(digest)
        # The dict finds by hash of a hash; the explicit comparison keeps the last step constant-time.
        expected = digest if known is not None else "0" * len(digest)
        is_valid = hmac.compare_digest(digest, expected) and known is not None and self._clock() < known.ends_at
        return known.key if is_valid and known is not None else None

    def _reload(self, max_age_seconds: float, wait_seconds: float = 0.0) -> None:
        is_first = self._loaded_at is None
        if not is_first and self._clock() - (self._loaded_at or 0.0) < max_age_seconds:
            return
        # Another thread that reads already is not waited for: what is known answers meanwhile.
        if not self._lock.acquire(timeout=-1 if is_first else wait_seconds):
            return
        try:
            if self._loaded_at is not None and self._clock() - self._loaded_at < max_age_seconds:
                return
            began = self._clock()
            try:
                with self._engine.connect() as connection:
                    self._read(connection, began)
                with self._engine.begin() as connection:
                    self._write_uses(connection)
            except sa.exc.SQLAlchemyError:
                if self._loaded_at is None:
                    raise
                # Keep what is known; ask again after the usual pause.
            self._loaded_at = self._clock()
        finally:
            self._lock.release()

    def _read(self, connection: Connection, began: float) -> None:
        columns = api_keys.c
        left = sa.extract("epoch", columns.expires_at - sa.func.now()).label("left_seconds")
        statement = sa.select(columns.key_hash, columns.app_id, columns.kind, columns.key_id, columns.revoked_at, left)
        rows = connection.execute(statement).all()
        self._keys = {
            row.key_hash: _Known(
                ApiKey(row.app_id, row.kind, row.key_id),
                float("inf") if row.left_seconds is None else began + float(row.left_seconds),
            )
            for row in rows
            if row.revoked_at is None
        }
        self._apps = frozenset(row.app_id for row in rows)

    def _write_uses(self, connection: Connection) -> None:
        now, used = self._clock(), list(self._uses)  # copied in one step: other threads add meanwhile
        self._uses.difference_update(used)
        due = sorted(key_id for key_id in used if now - self._use_noted_at.get(key_id, -1e9) >= _USE_NOTED_SECONDS)
        if due:
            statement = sa.update(api_keys).where(api_keys.c.key_id.in_(due)).values(last_used_at=sa.func.now())
            connection.execute(statement)
            self._use_noted_at |= dict.fromkeys(due, now)
