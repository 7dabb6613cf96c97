"""Who may read what."""

import pytest
import sqlalchemy as sa

from serving.authentication import Authenticator, presented_key
from serving.errors import ForbiddenError, MissingKeyError, ServingError, UnavailableError, WrongKeyError
from serving.settings import ServingSettings
from storage.control.keys import ApiKey

KEYS = {
    "tmr_shop": ApiKey("shop", "read", "read_1"),
    "tmw_shop": ApiKey("shop", "write", "write_1"),
}


class FakeKeys:
    """Keys in memory."""

    def find(self, plaintext: str) -> ApiKey | None:
        return KEYS.get(plaintext)


class BrokenKeys:
    """Keys whose database is away."""

    def find(self, plaintext: str) -> ApiKey | None:
        raise sa.exc.OperationalError("select", {}, Exception("refused"))


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer tmr_shop"},
        {"authorization": "bearer   tmr_shop"},
        {"x-api-key": "tmr_shop"},
        {"x-api-key": "tmr_shop", "authorization": "Bearer tmr_shop"},
    ],
)
def test_a_read_key_reads_its_own_app(headers: dict[str, str]) -> None:
    authenticator = Authenticator(FakeKeys(), is_public_readable=True)
    assert authenticator.readable_app(headers) == "shop"
    assert authenticator.readable_app(headers, "shop") == "shop"


@pytest.mark.parametrize(
    ("headers", "wanted_app", "error"),
    [
        ({"x-api-key": "tmw_shop"}, None, ForbiddenError),
        ({"x-api-key": "tmr_shop"}, "public", ForbiddenError),
        ({}, "shop", ForbiddenError),
        ({"x-api-key": "nonsense"}, None, WrongKeyError),
        ({"x-api-key": ""}, None, WrongKeyError),
        ({"authorization": "Bearer nonsense"}, None, WrongKeyError),
        ({"authorization": "Bearer "}, None, WrongKeyError),
        ({"authorization": "Basic dTpw"}, None, WrongKeyError),
        ({"authorization": "tmr_shop"}, None, WrongKeyError),
        ({"x-api-key": "tmr_shop", "authorization": "Bearer other"}, None, WrongKeyError),
    ],
)
def test_refusals(headers: dict[str, str], wanted_app: str | None, error: type[ServingError]) -> None:
    with pytest.raises(error):
        Authenticator(FakeKeys(), is_public_readable=True).readable_app(headers, wanted_app)


def test_no_key_reads_public_only_where_that_is_allowed() -> None:
    assert Authenticator(FakeKeys(), is_public_readable=True).readable_app({}) == "public"
    with pytest.raises(MissingKeyError):
        Authenticator(FakeKeys(), is_public_readable=False).readable_app({})


def test_keys_that_cannot_be_looked_up_are_a_matter_of_time() -> None:
    with pytest.raises(UnavailableError):
        Authenticator(BrokenKeys(), is_public_readable=True).readable_app({"x-api-key": "tmr_shop"})


def test_a_key_outside_ascii_is_compared_too() -> None:
    with pytest.raises(WrongKeyError):
        presented_key({"x-api-key": "ä", "authorization": "Bearer ö"})


@pytest.mark.parametrize(
    ("environment", "host", "is_public_readable"),
    [
        ("development", "127.0.0.1", True),
        ("development", "::1", True),
        ("development", "0.0.0.0", False),
        ("production", "127.0.0.1", False),
    ],
)
def test_public_is_for_development_on_loopback(environment: str, host: str, is_public_readable: bool) -> None:
    settings = ServingSettings.model_validate({"environment": environment, "host": host})
    assert settings.is_public_readable is is_public_readable
