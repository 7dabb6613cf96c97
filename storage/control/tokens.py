"""Bearer tokens: JSON Web Tokens signed with RS256, verified with the issuer's published keys (JWKS).

TokenError
├── TokenExpiredError          its time is over
├── AppMissingError            valid, but it names no app
└── TokenKeysUnavailableError  retryable: the issuer's keys were never read and cannot be read

Only RS256 is accepted, whatever the token's header says: a token that is unsigned, or signed with the public key as a shared secret, is
refused. Nothing here knows HTTP servers: both APIs map these errors to their own answers.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from storage.control.issuer_keys import IssuerKeys
from storage.control.token_errors import AppMissingError, TokenError, TokenExpiredError, TokenKeysUnavailableError
from storage.control.token_settings import TokenSettings

__all__ = [
    "AppMissingError",
    "Token",
    "TokenError",
    "TokenExpiredError",
    "TokenKeysUnavailableError",
    "Tokens",
    "looks_like_token",
    "make_tokens",
]

ALGORITHM = "RS256"
MAX_TOKEN_CHARACTERS = 8192
MAX_NAME_CHARACTERS = 200
_TRUSTED_SECONDS = 60.0


@dataclass(frozen=True)
class Token:
    """What a verified token allows. `trusted_seconds`: how long it may be believed without verifying it again."""

    app_id: str
    subject: str
    scopes: frozenset[str]
    trusted_seconds: float

    def allows(self, scope: str) -> bool:
        """True when the scope, or `admin`, is among the token's."""
        return scope in self.scopes or "admin" in self.scopes


def looks_like_token(presented: str) -> bool:
    """True for three parts between dots, the first of which is a JSON object: no key of ours looks so."""
    return presented.startswith("eyJ") and presented.count(".") == 2


def make_tokens(settings: TokenSettings) -> "Tokens | None":
    """The verifier, or None when no issuer is configured: only keys are accepted then."""
    return Tokens(settings, IssuerKeys(settings.jwks_url)) if settings.jwks_url else None


class Tokens:
    """Verifies tokens of one issuer for one audience. For several threads."""

    def __init__(self, settings: TokenSettings, keys: IssuerKeys, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._keys = keys
        self._now = now

    def verify(self, token: str) -> Token:
        """The token's rights. Blocks when the issuer's keys must be read. Raises: TokenError."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise TokenError(f"the token is longer than {MAX_TOKEN_CHARACTERS} characters")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, RecursionError) as error:
            raise TokenError("the bearer token is not a JSON Web Token") from error
        key_id = header.get("kid")
        if header.get("alg") != ALGORITHM or not isinstance(key_id, str):
            raise TokenError(f"the token must be signed with {ALGORITHM} and name its key (kid)")
        key = self._keys.find(key_id)
        if key is None:
            raise TokenError("the token's key (kid) is none of the issuer's")
        return self._token(self._decode(token, key))

    def _decode(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        settings = self._settings
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=settings.leeway_seconds,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenExpiredError("the token has expired; ask its issuer for a new one") from error
        except (jwt.PyJWTError, RecursionError, ArithmeticError) as error:
            raise TokenError(f"the token is not valid here ({type(error).__name__})") from error
        return claims

    def _token(self, claims: Mapping[str, Any]) -> Token:
        name = self._settings.app_claim
        app_id = claims.get(name)
        if not isinstance(app_id, str) or not 1 <= len(app_id) <= MAX_NAME_CHARACTERS or not app_id.isprintable():
            raise AppMissingError(f"the token names no app: its claim {name!r} must be a printable text")
        # Part of the rate limit's bucket: what a database cannot store must not get there.
        subject = "".join(filter(str.isprintable, str(claims.get("sub") or claims.get("client_id") or "")))
        left = float(claims["exp"]) + self._settings.leeway_seconds - self._now()
        return Token(app_id, subject[:MAX_NAME_CHARACTERS], _scopes(claims), max(0.0, min(left, _TRUSTED_SECONDS)))


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """The scopes of `scope` (separated by spaces) and `scp` (a list, or like `scope`)."""
    found: set[str] = set()
    for value in (claims.get("scope"), claims.get("scp")):
        if isinstance(value, str):
            found |= set(value.split())
        elif isinstance(value, list):
            found |= {item for item in value if isinstance(item, str)}
    return frozenset(found)
