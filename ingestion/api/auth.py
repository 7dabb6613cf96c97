"""Whose events these are: the app of the request's key or token.

They come as `Authorization: Bearer KEY`, as the user name of `Authorization: Basic`, or as `X-API-Key: KEY`; a JSON Web Token as a bearer
only. What was found is trusted for two seconds (after one, a single request asks again), and longer while the key store is slow or away,
so that PostgreSQL never stands in the way of ingestion. A revoked key therefore stops after at most these two seconds and the key ring's
two.
"""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

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
T = TypeVar("T")


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


class _Trusted(Generic[T]):
    """What was found, believed for so many seconds; from half of them on one request asks again while the others go on."""

    __slots__ = ("_renew_at", "_until", "value")

    def __init__(self, value: T, now: float, seconds: float) -> None:
        self.value = value
        self._renew_at = now + seconds / 2
        self._until = now + seconds

    def is_settled(self, now: float) -> bool:
        """Nobody has to ask."""
        return now < self._renew_at

    def needs_asking(self, now: float) -> bool:
        """Whether the request that wants to know has to ask."""
        if now < self._renew_at:
            return False
        self._renew_at = self._until
        return True


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
        self._cache: dict[bytes, _Trusted[Caller]] = {}  # by digest of what was presented
        self._public_callers: dict[str, Caller] = {}  # by address
        self._guarded_apps: _Trusted[frozenset[str]] = _Trusted(frozenset(), 0.0, 0.0)

    def recall(self, credentials: Mapping[str, str], address: str) -> Caller | None:
        """As `identify`, for a caller that is known without asking. `credentials`: header fields by their small names."""
        plaintext = _presented_key(credentials)
        if plaintext is None:
            if not self._allows_anonymous or not self._guarded_apps.is_settled(self._clock()):
                return None
            caller = self._public_callers.get(address)
            if caller is None or caller.guarded_apps is not self._guarded_apps.value:
                if len(self._public_callers) >= _MAX_CACHED_KEYS:
                    self._public_callers.clear()
                caller = Caller(PUBLIC_APP_ID, f"{PUBLIC_APP_ID}/{address}", self._guarded_apps.value)
                self._public_callers[address] = caller
            return caller
        cached = self._cache.get(_digest(plaintext))
        return cached.value if cached is not None and cached.is_settled(self._clock()) else None

    async def identify(self, headers: Headers, address: str) -> Caller:
        """Whose write key the request carries; app `public`, counted by client address, when it needs none. Raises: RequestError."""
        plaintext = _presented_key(headers)
        if plaintext is None:
            if self._allows_anonymous:
                return Caller(PUBLIC_APP_ID, f"{PUBLIC_APP_ID}/{address}", await self._find_guarded_apps())
            raise RequestError(
                ErrorCode.MISSING_KEY, "a write key is required: Authorization: Bearer KEY or X-API-Key: KEY"
            )
        digest = _digest(plaintext)
        cached = self._cache.get(digest)
        if cached is not None and not cached.needs_asking(self._clock()):
            return cached.value
        if looks_like_token(plaintext):
            caller, trusted_seconds = await self._caller_of_token(plaintext)
        else:
            caller, trusted_seconds = await self._caller_of_key(plaintext, digest), _TRUSTED_SECONDS
        if len(self._cache) >= _MAX_CACHED_KEYS:
            self._cache.clear()
        self._cache[digest] = _Trusted(caller, self._clock(), trusted_seconds)
        return caller

    async def _caller_of_key(self, plaintext: str, digest: bytes) -> Caller:
        cached = self._cache.get(digest)
        try:
            key = await asyncio.wait_for(asyncio.to_thread(self._keys.find, plaintext), _LOOKUP_TIMEOUT_SECONDS)
        except Exception as error:
            if cached is None:
                raise RequestError(ErrorCode.UNAVAILABLE, "the key store does not answer") from error
            return cached.value
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
        known = self._guarded_apps
        if known.needs_asking(self._clock()):
            apps = known.value
            try:
                apps = await asyncio.wait_for(asyncio.to_thread(self._keys.apps_with_keys), _LOOKUP_TIMEOUT_SECONDS)
            except Exception as error:  # noqa: BLE001 - any failure of the store means: go on with what is known
                log.warning("apps with keys cannot be read", error=type(error).__name__)
            self._guarded_apps = _Trusted(apps, self._clock(), _TRUSTED_SECONDS)
        return self._guarded_apps.value


def _digest(plaintext: str) -> bytes:
    return hashlib.sha256(plaintext.encode("utf-8", "surrogateescape")).digest()


def _presented_key(headers: Mapping[str, str]) -> str | None:
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
