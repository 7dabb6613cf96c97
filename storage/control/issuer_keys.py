"""The public keys of a token issuer, read from its JWKS address and kept in memory.

Read when they are older than five minutes, and when a token names a key that is not known, at most once in ten seconds: never per
request. While the address does not answer, the keys that are known keep working. Symmetric keys, keys for other algorithms and RSA keys
below 2048 bits are left out.
"""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from storage.control.token_errors import TokenKeysUnavailableError

log = structlog.get_logger(__name__)
MAX_AGE_SECONDS = 300.0
PAUSE_SECONDS = 10.0
_TIMEOUT_SECONDS = 2.0
_MAX_BYTES = 256 * 1024
_MAX_KEYS = 64
_MIN_BITS = 2048
_WAIT_SECONDS = 2.5


class IssuerKeys:
    """Keys by their id. For several threads; one of them reads at a time."""

    def __init__(self, jwks_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = jwks_url
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = self._tried_at = -MAX_AGE_SECONDS

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key, or None when the issuer has no such key. Raises: TokenKeysUnavailableError."""
        key = self._keys.get(key_id)
        if key is None:
            self._read(wait_seconds=_WAIT_SECONDS)
            key = self._keys.get(key_id)
        elif self._clock() - max(self._read_at + MAX_AGE_SECONDS, self._tried_at + PAUSE_SECONDS) >= 0:
            # Beside the request: what is known verifies it meanwhile.
            threading.Thread(target=self._read, args=(0.0,), name="issuer-keys", daemon=True).start()
        if key is None and not self._keys:
            raise TokenKeysUnavailableError("the issuer's keys cannot be read; try again shortly")
        return key

    def _read(self, wait_seconds: float) -> None:
        if not self._lock.acquire(timeout=wait_seconds):
            return
        try:
            # After a failure, and for unknown ids: attempts do not follow requests.
            if self._clock() - self._tried_at < PAUSE_SECONDS:
                return
            self._tried_at = self._clock()
            self._keys = _parse(_fetch(self._url))
            self._read_at = self._clock()
        except (httpx.HTTPError, ValueError, TypeError, AttributeError) as error:
            log.warning("the issuer's keys cannot be read", error=type(error).__name__, known=len(self._keys))
        finally:
            self._lock.release()


def _fetch(url: str) -> Any:
    """The JSON document at `url`. Bounded in time and size; redirects are errors."""
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    with httpx.stream("GET", url, timeout=_TIMEOUT_SECONDS, follow_redirects=False) as response:
        response.raise_for_status()
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _MAX_BYTES or time.monotonic() > deadline:
                raise ValueError(f"the key set is larger than {_MAX_BYTES} bytes or came too slowly")
    return json.loads(body)


def _parse(document: Any) -> dict[str, jwt.PyJWK]:
    """Key id → key, of the keys that may verify RS256. Raises: ValueError when there is none."""
    found: dict[str, jwt.PyJWK] = {}
    for item in document.get("keys", [])[:_MAX_KEYS]:
        if item.get("kty") != "RSA" or item.get("use", "sig") != "sig" or item.get("alg", "RS256") != "RS256":
            continue
        try:
            key = jwt.PyJWK(item, "RS256")
        except jwt.PyJWTError:
            continue
        if isinstance(key.key, RSAPublicKey) and key.key.key_size >= _MIN_BITS and isinstance(key.key_id, str):
            found[key.key_id] = key
    if not found:
        raise ValueError("the key set holds no RSA key for RS256 of at least 2048 bits with an id")
    return found
