"""Who asks, and whose data they may read: read keys, given as `Authorization: Bearer` or `X-API-Key`, or bearer tokens with scope `read`.

A key or token reads its own app only. A wrong one is always refused, never taken as none.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa

from serving.errors import (
    CredentialExpiredError,
    ForbiddenError,
    MissingKeyError,
    UnavailableError,
    WrongKeyError,
    WrongScopeError,
)
from storage.control.keys import ApiKey
from storage.control.tokens import (
    AppMissingError,
    Token,
    TokenError,
    TokenExpiredError,
    TokenKeysUnavailableError,
    looks_like_token,
)

PUBLIC_APP = "public"
KEY_HINT = "Send a read key as `Authorization: Bearer <key>` or `X-API-Key: <key>`."


class KeyFinder(Protocol):
    """Looks keys up: `storage.control.keys.KeyRing`, or a test's fake."""

    def find(self, plaintext: str) -> ApiKey | None:
        """The key, None when it is unknown or revoked."""


class TokenVerifier(Protocol):
    """Verifies bearer tokens: `storage.control.tokens.Tokens`, or a test's fake."""

    def verify(self, token: str) -> Token:
        """The token's rights. Raises: TokenError."""


@dataclass(frozen=True)
class Authenticator:
    """Turns request headers into the app that may be read. Blocking at times: call it in a worker thread."""

    keys: KeyFinder
    is_public_readable: bool
    tokens: TokenVerifier | None = None

    def readable_app(self, headers: Mapping[str, str], wanted_app: str | None = None) -> str:
        """The key's app.

        Raises:
            MissingKeyError, WrongKeyError: 401.
            ForbiddenError: a write key, a token without the scope, or `wanted_app` is another app.
            UnavailableError: keys cannot be looked up yet.
        """
        app_id = self._app_of(headers)
        if wanted_app is not None and wanted_app != app_id:
            raise ForbiddenError(f"This key reads the app {app_id!r} only; app_id names another one.")
        return app_id

    def _app_of(self, headers: Mapping[str, str]) -> str:
        plaintext = presented_key(headers)
        if plaintext is None:
            if self.is_public_readable:
                return PUBLIC_APP
            raise MissingKeyError(KEY_HINT)
        if looks_like_token(plaintext):
            return self._app_of_token(plaintext)
        try:
            key = self.keys.find(plaintext)
        except sa.exc.SQLAlchemyError as error:
            raise UnavailableError(
                "Keys cannot be looked up: the database does not answer. Try again shortly."
            ) from error
        if key is None:
            raise WrongKeyError(f"The key is unknown or revoked. {KEY_HINT}")
        if key.kind != "read":
            raise ForbiddenError(f"{key.key_id} is a {key.kind} key: reading needs a read key.")
        return key.app_id

    def _app_of_token(self, plaintext: str) -> str:
        if self.tokens is None:
            raise WrongKeyError(f"No bearer tokens are accepted here. {KEY_HINT}")
        try:
            token = self.tokens.verify(plaintext)
        except TokenExpiredError as error:
            raise CredentialExpiredError(str(error)) from error
        except AppMissingError as error:
            raise WrongScopeError(str(error)) from error
        except TokenKeysUnavailableError as error:
            raise UnavailableError(str(error)) from error
        except TokenError as error:
            raise WrongKeyError(str(error)) from error
        if not token.allows("read"):
            raise WrongScopeError("The token's scopes do not contain read.")
        return token.app_id


def presented_key(headers: Mapping[str, str]) -> str | None:
    """The key that the request carries, None when it carries none. An unreadable or contradictory one is a wrong key."""
    authorization = headers.get("authorization")
    named = headers.get("x-api-key")
    bearer: str | None = None
    if authorization is not None:
        scheme, _, bearer = authorization.partition(" ")
        bearer = bearer.strip()
        if scheme.lower() != "bearer" or not bearer:
            raise WrongKeyError(f"The Authorization header is not a bearer key. {KEY_HINT}")
    if named is not None and bearer is not None and not hmac.compare_digest(named.encode(), bearer.encode()):
        raise WrongKeyError("Authorization and X-API-Key name different keys.")
    return named if named is not None else bearer
