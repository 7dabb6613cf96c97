"""Bearer tokens: what is accepted, what is refused, and how often the issuer's keys are read."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from pydantic import ValidationError

from storage.control.issuer_keys import MAX_AGE_SECONDS, PAUSE_SECONDS, IssuerKeys
from storage.control.token_settings import TokenSettings
from storage.control.tokens import (
    AppMissingError,
    TokenError,
    TokenExpiredError,
    TokenKeysUnavailableError,
    Tokens,
    looks_like_token,
    make_tokens,
)
from tests.fixtures.issuer import AUDIENCE, ISSUER, Issuer, running_issuer


@pytest.fixture(scope="module")
def shared_issuer() -> Iterator[Issuer]:
    """An issuer that is only read."""
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer(shared_issuer: Issuer) -> Iterator[Issuer]:
    """The issuer as it was at first."""
    yield shared_issuer
    shared_issuer.published, shared_issuer.extra_keys, shared_issuer.is_down = ["k1"], [], False
    shared_issuer.requests = 0


def make(issuer: Issuer, clock: list[float] | None = None) -> Tokens:
    keys = IssuerKeys(issuer.url, clock=lambda: clock[0]) if clock is not None else IssuerKeys(issuer.url)
    return Tokens(issuer.settings(), keys)


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, {"ingest", "read"}),
        ({"scope": "read"}, {"read"}),
        ({"scope": ..., "scp": ["ingest", 7]}, {"ingest"}),
        ({"scope": ..., "scp": "ingest read"}, {"ingest", "read"}),
        ({"scope": ...}, set()),
        ({"aud": ["other", AUDIENCE]}, {"ingest", "read"}),
    ],
)
def test_valid_tokens(issuer: Issuer, claims: dict[str, Any], scopes: set[str]) -> None:
    token = make(issuer).verify(issuer.token(**claims))
    assert (token.app_id, token.subject, token.scopes) == ("shop", "client-1", scopes)
    assert 0 <= token.trusted_seconds <= 60


def test_clocks_may_be_some_seconds_apart(issuer: Issuer) -> None:
    now = int(time.time())
    token = make(issuer).verify(issuer.token(exp=now - 2, nbf=now + 5))
    assert 0 <= token.trusted_seconds <= 8


def test_admin_may_do_everything(issuer: Issuer) -> None:
    token = make(issuer).verify(issuer.token(scope="admin"))
    assert token.allows("ingest")
    assert token.allows("read")
    assert not make(issuer).verify(issuer.token(scope="administrator")).allows("read")


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"exp": int(time.time()) - 60}, TokenExpiredError),
        ({"nbf": int(time.time()) + 3600}, TokenError),
        ({"exp": ...}, TokenError),
        ({"aud": "somebody else"}, TokenError),
        ({"aud": ...}, TokenError),
        ({"iss": "https://evil.test"}, TokenError),
        ({"iss": ...}, TokenError),
        ({"exp": float("inf")}, TokenError),
        ({"app_id": ...}, AppMissingError),
        ({"app_id": ""}, AppMissingError),
        ({"app_id": 7}, AppMissingError),
        ({"app_id": "x" * 201}, AppMissingError),
        ({"app_id": "shop\x00"}, AppMissingError),
        ({"app_id": "shop\ud800"}, AppMissingError),
    ],
)
def test_tokens_with_wrong_claims(issuer: Issuer, claims: dict[str, Any], error: type[TokenError]) -> None:
    with pytest.raises(error):
        make(issuer).verify(issuer.token(**claims))


def test_a_subject_holds_nothing_that_a_database_cannot_store(issuer: Issuer) -> None:
    assert make(issuer).verify(issuer.token(sub="a\x00b\ud800" + "c" * 300)).subject == "ab" + "c" * 198


def test_the_app_comes_from_the_claim_that_is_configured(issuer: Issuer) -> None:
    tokens = Tokens(issuer.settings(app_claim="tenant"), IssuerKeys(issuer.url))
    assert tokens.verify(issuer.token(tenant="bakery")).app_id == "bakery"


@pytest.mark.feature("S2-F6")
def test_only_rs256_by_the_issuers_own_keys_counts(issuer: Issuer) -> None:
    tokens, good = make(issuer), issuer.token()
    header, payload, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    unsigned = unpadded(b'{"alg":"none","kid":"k1"}') + f".{payload}."
    # The classic: the public key, which anyone can read, as the secret of an HMAC.
    confused_input = unpadded(b'{"alg":"HS256","kid":"k1"}') + f".{payload}"
    mac = hmac.new(issuer.public_pem(), confused_input.encode(), hashlib.sha256).digest()
    mine = Issuer().keys["k1"]
    forged = [
        unsigned,
        f"{confused_input}.{unpadded(mac)}",
        jwt.encode(claims, issuer.keys["k1"], "RS512", {"kid": "k1"}),
        jwt.encode(claims, issuer.keys["k1"], "PS256", {"kid": "k1"}),
        jwt.encode(claims, issuer.keys["k1"], "RS256"),
        jwt.encode(claims, mine, "RS256", {"kid": "k1"}),
        jwt.encode(claims, mine, "RS256", {"kid": "mine", "jku": "https://evil.test/jwks"}),
        f"{header}.{unpadded(json.dumps({**claims, 'app_id': 'other'}).encode())}.{signature}",
        f"{header}.{payload}.{signature[:-4]}",
        f"{header}.{payload}.",
        "eyJ.eyJ.x",
        unpadded(b'{"alg":"RS256","kid":' + b"[" * 5000) + f".{payload}.{signature}",
        unpadded(b'{"alg":["RS256"],"kid":{}}') + f".{payload}.{signature}",
        "eyJ" + "a" * 9000 + ".b.c",
        f"{header}.{unpadded(b'[]')}.{signature}",
    ]
    assert tokens.verify(good).app_id == "shop"
    for token in forged:
        assert looks_like_token(token)
        with pytest.raises(TokenError):
            tokens.verify(token)


def test_keys_are_read_once_and_again_only_for_an_unknown_id_and_not_for_every_one(issuer: Issuer) -> None:
    clock = [1000.0]
    tokens = make(issuer, clock)
    for _ in range(5):
        tokens.verify(issuer.token())
    assert issuer.requests == 1
    issuer.add_key("k2")
    clock[0] += PAUSE_SECONDS
    assert tokens.verify(issuer.token("k2")).app_id == "shop"
    assert issuer.requests == 2
    for number in range(20):
        with pytest.raises(TokenError):
            tokens.verify(issuer.token(headers={"kid": f"unknown-{number}"}))
    assert issuer.requests == 2
    issuer.published = ["k1"]
    clock[0] += MAX_AGE_SECONDS + 1
    tokens.verify(issuer.token())
    for _ in range(200):
        if issuer.requests == 3:
            break
        time.sleep(0.01)
    time.sleep(0.05)
    with pytest.raises(TokenError):
        tokens.verify(issuer.token("k2"))
    assert issuer.requests == 3


def test_known_keys_work_on_while_the_address_is_down(issuer: Issuer) -> None:
    clock = [1000.0]
    tokens = make(issuer, clock)
    tokens.verify(issuer.token())
    issuer.is_down = True
    for _ in range(3):
        clock[0] += MAX_AGE_SECONDS + 1
        assert tokens.verify(issuer.token()).app_id == "shop"
    fresh = make(issuer)
    with pytest.raises(TokenKeysUnavailableError):
        fresh.verify(issuer.token())
    with pytest.raises(TokenKeysUnavailableError):
        Tokens(issuer.settings(), IssuerKeys("http://127.0.0.1:9/jwks")).verify(issuer.token())


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_keys_that_could_not_be_trusted_are_left_out(issuer: Issuer) -> None:
    issuer.add_key("short", bits=1024)
    secret = unpadded(b"s" * 32)
    issuer.extra_keys = [
        {"kty": "oct", "kid": "shared", "k": secret},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "kid": "k1", "use": "enc", "n": "x", "e": "AQAB"},
    ]
    tokens = make(issuer)
    assert tokens.verify(issuer.token()).app_id == "shop"
    with pytest.raises(TokenError):
        tokens.verify(issuer.token("short"))
    with pytest.raises(TokenError):
        tokens.verify(jwt.encode(issuer.claims(), "s" * 32, "HS256", {"kid": "shared"}))


GOOD = {"jwks_url": "https://login.shop.test/jwks", "issuer": ISSUER, "audience": AUDIENCE}


@pytest.mark.feature("S2-F6")
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"audience": ""}, "TIDEMARK_TOKENS_AUDIENCE"),
        ({"issuer": " "}, "TIDEMARK_TOKENS_ISSUER"),
        ({"audience": "change-me"}, "TIDEMARK_TOKENS_AUDIENCE"),
        ({"audience": "your-audience"}, "TIDEMARK_TOKENS_AUDIENCE"),
        ({"audience": "default"}, "TIDEMARK_TOKENS_AUDIENCE"),
        ({"audience": "your-secret-key-change-in-production"}, "TIDEMARK_TOKENS_AUDIENCE"),
        ({"issuer": "https://<tenant>.idp.test/"}, "TIDEMARK_TOKENS_ISSUER"),
        ({"issuer": "https://auth.example.com/"}, "TIDEMARK_TOKENS_ISSUER"),
        ({"jwks_url": "https://example.com/.well-known/jwks.json"}, "TIDEMARK_TOKENS_JWKS_URL"),
        ({"jwks_url": "http://login.shop.test/jwks"}, "TIDEMARK_TOKENS_JWKS_URL"),
        ({"jwks_url": "http://127.0.0.1/jwks", "environment": "production"}, "TIDEMARK_TOKENS_JWKS_URL"),
        ({"jwks_url": "file:///etc/passwd"}, "TIDEMARK_TOKENS_JWKS_URL"),
        ({"jwks_url": "login.shop.test/jwks"}, "TIDEMARK_TOKENS_JWKS_URL"),
    ],
)
def test_it_does_not_start_on_defaults_placeholders_or_a_wire_anyone_can_write_to(
    changes: dict[str, str], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        TokenSettings.model_validate({**GOOD, **changes})


def test_good_settings_start_and_none_switch_tokens_off() -> None:
    assert make_tokens(TokenSettings()) is None
    assert make_tokens(TokenSettings.model_validate(GOOD)) is not None
    assert make_tokens(TokenSettings.model_validate({**GOOD, "jwks_url": "http://localhost:8080/jwks"})) is not None
    assert make_tokens(TokenSettings.model_validate({**GOOD, "environment": "production"})) is not None
