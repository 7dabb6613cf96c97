"""Whose events these are: the app of the request's key.

Keys come as `Authorization: Bearer KEY`, as the user name of `Authorization: Basic`, or as `X-API-Key: KEY`. A key that was found is
trusted for two seconds without asking, and longer while the key store is slow or away, so that PostgreSQL never stands in the way of
ingestion.
"""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from starlette.datastructures import Headers

from ingestion.api.errors import ErrorCode, RequestError

PUBLIC_APP_ID = "public"
_TRUSTED_SECONDS = 2.0
_LOOKUP_TIMEOUT_SECONDS = 3.0
_MAX_CACHED_KEYS = 10_000


class FoundKey(Protocol):
    """What is known of a valid key."""

    @property
    def app_id(self) -> str: ...
    @property
    def kind(self) -> str: ...


class KeyFinder(Protocol):
    """Finds a key by its plain text; may block and may raise when its store was never reachable."""

    def find(self, plaintext: str) -> FoundKey | None: ...


@dataclass(frozen=True)
class MemoryKey:
    """A key of InMemoryKeyRing."""

    app_id: str
    kind: str = "write"


class InMemoryKeyRing:
    """A KeyFinder over a mapping plain text → key: for tests and for running without a database."""

    def __init__(self, keys: Mapping[str, MemoryKey]) -> None:
        self._keys = dict(keys)

    def find(self, plaintext: str) -> FoundKey | None:
        """See KeyFinder."""
        found = None
        for known, key in self._keys.items():
            if hmac.compare_digest(known.encode(), plaintext.encode()):
                found = key
        return found


class Authenticator:
    """The app id of a request that may write."""

    def __init__(self, keys: KeyFinder, *, allows_anonymous: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._allows_anonymous = allows_anonymous
        self._clock = clock
        self._cache: dict[bytes, tuple[FoundKey, float]] = {}

    async def app_id(self, headers: Headers) -> str:
        """The app whose write key the request carries, `public` when it needs none. Raises: RequestError."""
        plaintext = _presented_key(headers)
        if plaintext is None:
            if self._allows_anonymous:
                return PUBLIC_APP_ID
            raise RequestError(
                ErrorCode.MISSING_KEY, "a write key is required: Authorization: Bearer KEY or X-API-Key: KEY"
            )
        key = await self._find(plaintext)
        if key is None:
            raise RequestError(ErrorCode.WRONG_KEY, "the key is unknown or revoked")
        if key.kind != "write":
            raise RequestError(ErrorCode.READ_KEY, "a read key cannot write; use the app's write key")
        return key.app_id

    async def _find(self, plaintext: str) -> FoundKey | None:
        digest = hashlib.sha256(plaintext.encode("utf-8", "surrogateescape")).digest()
        cached = self._cache.get(digest)
        if cached is not None and self._clock() - cached[1] < _TRUSTED_SECONDS:
            return cached[0]
        try:
            key = await asyncio.wait_for(asyncio.to_thread(self._keys.find, plaintext), _LOOKUP_TIMEOUT_SECONDS)
        except Exception as error:
            if cached is None:
                raise RequestError(ErrorCode.UNAVAILABLE, "the key store does not answer") from error
            key = cached[0]
        if key is None:
            self._cache.pop(digest, None)
            return None
        if len(self._cache) >= _MAX_CACHED_KEYS:
            self._cache.clear()
        self._cache[digest] = (key, self._clock())
        return key


def _presented_key(headers: Headers) -> str | None:
    """The key in the headers; an empty or malformed one counts as wrong, not as absent."""
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, plaintext = authorization.partition(" ")
        if scheme.lower() == "basic":
            return _user_name(plaintext)
        return plaintext.strip() if scheme.lower() == "bearer" else ""
    return headers.get("x-api-key")


def _user_name(credentials: str) -> str:
    """The user name of basic credentials; empty when they cannot be read."""
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[0]
    except ValueError:
        return ""
