"""Who asks, and whose data they may read: read keys, given as `Authorization: Bearer` or `X-API-Key`.

A key reads its own app only. A wrong key is always refused, never taken as no key.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa

from serving.errors import ForbiddenError, MissingKeyError, UnavailableError, WrongKeyError
from storage.control.keys import ApiKey

PUBLIC_APP = "public"
KEY_HINT = "Send a read key as `Authorization: Bearer <key>` or `X-API-Key: <key>`."


class KeyFinder(Protocol):
    """Looks keys up: `storage.control.keys.KeyRing`, or a test's fake."""

    def find(self, plaintext: str) -> ApiKey | None:
        """The key, None when it is unknown or revoked."""


@dataclass(frozen=True)
class Authenticator:
    """Turns request headers into the app that may be read. Blocking at times: call it in a worker thread."""

    keys: KeyFinder
    is_public_readable: bool

    def readable_app(self, headers: Mapping[str, str], wanted_app: str | None = None) -> str:
        """The key's app.

        Raises:
            MissingKeyError, WrongKeyError: 401.
            ForbiddenError: a write key, or `wanted_app` is another app.
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
