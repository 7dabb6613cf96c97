"""Whose events these are: the app of the request's key or token.

They come as `Authorization: Bearer KEY`, as the user name of `Authorization: Basic`, or as `X-API-Key: KEY`; a JSON Web Token as a bearer
only. What was found is trusted for two seconds without asking, and longer while the key store is slow or away, so that PostgreSQL never
stands in the way of ingestion. A revoked key therefore stops after at most these two seconds and the key ring's two.
"""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog
from starlette.datastructures import Headers

from ingestion.api.errors import ErrorCode, RequestError
from storage.control.tokens import (
    AppMissingError,
    Token,
    TokenError,
    TokenExpiredError,
    TokenKeysUnavailableError,
    looks_like_token,
)

PUBLIC_APP_ID = "public"
_TRUSTED_SECONDS = 2.0
_LOOKUP_TIMEOUT_SECONDS = 3.0
_MAX_CACHED_KEYS = 10_000
log = structlog.get_logger(__name__)


class FoundKey(Protocol):
    """What is known of a valid key."""

    @property
    def app_id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def key_id(self) -> str: ...


class KeyFinder(Protocol):
    """Finds a key by its plain text; may block and may raise when its store was never reachable."""

    def find(self, plaintext: str) -> FoundKey | None: ...
    def apps_with_keys(self) -> frozenset[str]: ...


class TokenVerifier(Protocol):
    """Verifies a JSON Web Token; may block."""

    def verify(self, token: str) -> Token: ...


@dataclass(frozen=True)
class Caller:
    """Who sends: its app, the bucket that its requests are counted in, and the apps that it must not name."""

    app_id: str
    bucket_id: str
    guarded_apps: frozenset[str] = frozenset()


@dataclass(frozen=True)
class MemoryKey:
    """A key of InMemoryKeyRing."""

    app_id: str
    kind: str = "write"
    key_id: str = "memory"


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

    def apps_with_keys(self) -> frozenset[str]:
        """See KeyFinder."""
        return frozenset(key.app_id for key in self._keys.values())


class Authenticator:
    """The caller of a request that may write."""

    def __init__(
        self,
        keys: KeyFinder,
        *,
        allows_anonymous: bool,
        tokens: TokenVerifier | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._allows_anonymous = allows_anonymous
        self._clock = clock
        # Digest of what was presented → caller, and until when it is believed.
        self._cache: dict[bytes, tuple[Caller, float]] = {}
        self._guarded_apps: frozenset[str] = frozenset()
        self._guarded_until = 0.0

    async def identify(self, headers: Headers, address: str) -> Caller:
        """Whose write key the request carries; app `public`, counted by client address, when it needs none. Raises: RequestError."""
        plaintext = _presented_key(headers)
        if plaintext is None:
            if self._allows_anonymous:
                return Caller(PUBLIC_APP_ID, f"{PUBLIC_APP_ID}/{address}", await self._find_guarded_apps())
            raise RequestError(
                ErrorCode.MISSING_KEY, "a write key is required: Authorization: Bearer KEY or X-API-Key: KEY"
            )
        digest = hashlib.sha256(plaintext.encode("utf-8", "surrogateescape")).digest()
        cached = self._cache.get(digest)
        if cached is not None and self._clock() < cached[1]:
            return cached[0]
        if looks_like_token(plaintext):
            caller, trusted_seconds = await self._caller_of_token(plaintext)
        else:
            caller, trusted_seconds = await self._caller_of_key(plaintext, digest), _TRUSTED_SECONDS
        if len(self._cache) >= _MAX_CACHED_KEYS:
            self._cache.clear()
        self._cache[digest] = (caller, self._clock() + trusted_seconds)
        return caller

    async def _caller_of_key(self, plaintext: str, digest: bytes) -> Caller:
        cached = self._cache.get(digest)
        try:
            key = await asyncio.wait_for(asyncio.to_thread(self._keys.find, plaintext), _LOOKUP_TIMEOUT_SECONDS)
        except Exception as error:
            if cached is None:
                raise RequestError(ErrorCode.UNAVAILABLE, "the key store does not answer") from error
            return cached[0]
        if key is None:
            self._cache.pop(digest, None)  # or a failure of the store would bring it back
            raise RequestError(ErrorCode.WRONG_KEY, "the key is unknown or revoked")
        if key.kind != "write":
            raise RequestError(ErrorCode.READ_KEY, "a read key cannot write; use the app's write key")
        return Caller(key.app_id, f"{key.app_id}/{key.key_id}")

    async def _caller_of_token(self, plaintext: str) -> tuple[Caller, float]:
        """The caller, and for how many seconds it needs no looking again: never beyond the token's end."""
        if self._tokens is None:
            raise RequestError(ErrorCode.WRONG_KEY, "no bearer tokens are accepted here, only keys")
        try:
            token = await asyncio.wait_for(asyncio.to_thread(self._tokens.verify, plaintext), _LOOKUP_TIMEOUT_SECONDS)
        except TokenExpiredError as error:
            raise RequestError(ErrorCode.CREDENTIAL_EXPIRED, str(error)) from error
        except AppMissingError as error:
            raise RequestError(ErrorCode.WRONG_SCOPE, str(error)) from error
        except TokenKeysUnavailableError as error:
            raise RequestError(ErrorCode.UNAVAILABLE, str(error)) from error
        except TokenError as error:
            raise RequestError(ErrorCode.WRONG_KEY, str(error)) from error
        except TimeoutError as error:
            raise RequestError(ErrorCode.UNAVAILABLE, "the issuer's keys cannot be read in time") from error
        if not token.allows("ingest"):
            raise RequestError(ErrorCode.WRONG_SCOPE, "the token's scopes do not contain ingest")
        return Caller(token.app_id, f"{token.app_id}/token/{token.subject}"), token.trusted_seconds

    async def _find_guarded_apps(self) -> frozenset[str]:
        """The apps that have keys, as they were at most two seconds ago, or when the key store last answered."""
        if self._clock() >= self._guarded_until:
            lookup = asyncio.to_thread(self._keys.apps_with_keys)
            try:
                self._guarded_apps = await asyncio.wait_for(lookup, _LOOKUP_TIMEOUT_SECONDS)
            except Exception as error:  # noqa: BLE001 - any failure of the store means: go on with what is known
                log.warning("apps with keys cannot be read", error=type(error).__name__)
            self._guarded_until = self._clock() + _TRUSTED_SECONDS
        return self._guarded_apps


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
