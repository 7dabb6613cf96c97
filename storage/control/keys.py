"""API keys: made once, shown once, kept only as a hash. A key belongs to one app and either writes or reads.

Keys carry 256 random bits, so a plain SHA-256 at rest is enough: there is nothing to guess. Lookups answer from memory and keep
answering when PostgreSQL is down; a new or revoked key is seen after at most `refresh_seconds`.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy import Engine

from storage.control.tables import api_keys

KeyKind = Literal["write", "read"]
PREFIXES: dict[KeyKind, str] = {"write": "tmw_", "read": "tmr_"}


@dataclass(frozen=True)
class ApiKey:
    """What a key allows: `kind` on `app_id`. `key_id` is its public name."""

    app_id: str
    kind: KeyKind
    key_id: str


def hash_key(plaintext: str) -> str:
    """SHA-256 of a key, hex."""
    return hashlib.sha256(plaintext.encode()).hexdigest()


def create_key(engine: Engine, app_id: str, kind: KeyKind) -> str:
    """A new key in plain text: the only time that it is shown."""
    plaintext = PREFIXES[kind] + secrets.token_urlsafe(32)
    key_id = f"{kind}_{secrets.token_hex(4)}"
    with engine.begin() as connection:
        connection.execute(
            sa.insert(api_keys).values(key_hash=hash_key(plaintext), key_id=key_id, app_id=app_id, kind=kind)
        )
    return plaintext


def revoke_key(engine: Engine, key_id: str) -> bool:
    """True when the key was valid until now."""
    statement = (
        sa.update(api_keys)
        .where(api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=sa.func.now())
    )
    with engine.begin() as connection:
        return connection.execute(statement).rowcount > 0


class KeyRing:
    """The valid keys, in memory, read again in the background of a lookup when older than `refresh_seconds`."""

    def __init__(
        self, engine: Engine, refresh_seconds: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, ApiKey] = {}
        self._loaded_at: float | None = None

    def find(self, plaintext: str) -> ApiKey | None:
        """The key, or None when it is unknown or revoked. An unknown key makes one early reload possible per second."""
        digest = hash_key(plaintext)
        self._reload(max_age_seconds=self._refresh_seconds)
        found = self._match(digest)
        if found is None:
            self._reload(max_age_seconds=1.0)
            found = self._match(digest)
        return found

    def _match(self, digest: str) -> ApiKey | None:
        key = self._keys.get(digest)
        # The dict finds by hash of a hash; the explicit comparison keeps the last step constant-time.
        known = digest if key is not None else "0" * len(digest)
        return key if hmac.compare_digest(digest, known) and key is not None else None

    def _reload(self, max_age_seconds: float) -> None:
        with self._lock:
            if self._loaded_at is not None and self._clock() - self._loaded_at < max_age_seconds:
                return
            statement = sa.select(api_keys.c.key_hash, api_keys.c.app_id, api_keys.c.kind, api_keys.c.key_id).where(
                api_keys.c.revoked_at.is_(None)
            )
            try:
                with self._engine.connect() as connection:
                    rows = connection.execute(statement).all()
            except sa.exc.SQLAlchemyError:
                if self._loaded_at is None:
                    raise
                self._loaded_at = self._clock()  # keep what is known; ask again after the usual pause
                return
            self._keys = {row.key_hash: ApiKey(row.app_id, row.kind, row.key_id) for row in rows}
            self._loaded_at = self._clock()
