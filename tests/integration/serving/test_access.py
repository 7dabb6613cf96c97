"""Keys and refusals over HTTP: RFC 9457 problems, and never a 500."""

from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from storage.control.keys import create_key, issue_key, revoke_key
from storage.control.tokens import make_tokens
from tests.fixtures.issuer import running_issuer
from tests.fixtures.lake_writer import LakeWriter
from tests.fixtures.pages import assert_loads_from_its_own_host
from tests.integration.serving.conftest import open_client

pytestmark = pytest.mark.integration
PATHS = [f"/api/v1/analytics/{name}" for name in ("events", "users", "top-users", "event-distribution", "platforms")]
PATHS.append("/api/v1/publications")


def assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem that the answer must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:tidemark:problem:")
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == answer.request.url.path
    return problem


def test_keys_decide_over_every_endpoint(lake: LakeWriter) -> None:
    read_key, write_key = create_key(lake.engine, "shop", "read"), create_key(lake.engine, "shop", "write")
    with open_client(lake.settings, environment="production") as client:
        for path in PATHS:
            assert client.get(path, headers={"Authorization": f"Bearer {read_key}"}).status_code == 200
            assert client.get(path, headers={"X-API-Key": read_key}).status_code == 200
            assert_problem(client.get(path, headers={"X-API-Key": write_key}), 403)
            assert_problem(client.get(path, headers={"Authorization": "Bearer tmr_nonsense"}), 401)
            refused = client.get(path)
            assert_problem(refused, 401)
            assert refused.headers["www-authenticate"].startswith("Bearer")
        another = client.get(PATHS[0], params={"app_id": "other"}, headers={"X-API-Key": read_key})
        assert_problem(another, 403)
        assert read_key not in another.text
        for path in ("/health", "/ping", "/version", "/", "/metrics", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200
        for path in ("/docs", "/redoc"):
            assert_loads_from_its_own_host(client.get, path)


@pytest.mark.feature("S1-4")
def test_a_revoked_key_stops_reading_within_five_seconds(lake: LakeWriter) -> None:
    key = issue_key(lake.engine, "shop", "read")
    with open_client(lake.settings) as client:
        assert client.get(PATHS[0], headers={"X-API-Key": key.plaintext}).status_code == 200
        assert revoke_key(lake.engine, key.record.key_id)
        revoked_at = monotonic()
        while (answer := client.get(PATHS[0], headers={"X-API-Key": key.plaintext})).status_code == 200:
            sleep(0.05)
        assert monotonic() - revoked_at < 5
        assert_problem(answer, 401)


@pytest.mark.feature("S2-F6")
def test_bearer_tokens_read_with_the_scope_only(lake: LakeWriter) -> None:
    with (
        running_issuer() as issuer,
        open_client(lake.settings, tokens=make_tokens(issuer.settings()), environment="production") as client,
    ):

        def get(token: str, **parameters: str) -> httpx.Response:
            return client.get(PATHS[0], headers={"Authorization": f"Bearer {token}"}, params=parameters)

        assert get(issuer.token(scope="read")).status_code == 200
        assert get(issuer.token(scope="admin"), app_id="shop").status_code == 200
        assert_problem(get(issuer.token(), app_id="other"), 403)
        assert assert_problem(get(issuer.token(scope="ingest")), 403)["type"].endswith(":wrong-scope")
        expired = get(issuer.token(exp=1))
        assert assert_problem(expired, 401)["type"].endswith(":credential-expired")
        assert expired.headers["www-authenticate"].startswith("Bearer")
        assert_problem(get(issuer.token(aud="other")), 401)
        assert issuer.requests == 1
    with open_client(lake.settings) as client:
        assert_problem(client.get(PATHS[0], headers={"Authorization": f"Bearer {issuer.token()}"}), 401)


def test_no_key_reads_public_in_development_only(lake: LakeWriter) -> None:
    with open_client(lake.settings) as client:
        assert client.get(PATHS[1]).status_code == 200
        assert_problem(client.get(PATHS[1], params={"app_id": "shop"}), 403)
        assert_problem(client.get(PATHS[1], headers={"X-API-Key": "wrong"}), 401)


def test_parameters_out_of_range_are_problems_that_name_each_one(lake: LakeWriter) -> None:
    with open_client(lake.settings) as client:
        wrong = client.get(PATHS[0], params={"hours_back": 169, "limit": 0, "time_window": "2min", "platform": "x"})
        problem = assert_problem(wrong, 422)
        assert {error["parameter"] for error in problem["errors"]} == {"time_window", "hours_back", "platform", "limit"}
        for query in (
            "hours_back=nan",
            "limit=",
            "until=%00",
            "user_id=%20",
            "publication=-1",
            "publication=1e3",
            "until=9999-12-31T23:59:59Z",
        ):
            assert_problem(client.get(f"{PATHS[1]}?{query}"), 422)


def test_odd_requests_are_never_server_errors(lake: LakeWriter) -> None:
    with open_client(lake.settings) as client:
        for user_id in ("%00", "%FF%FE", "%ED%A0%80", "'; drop table x; --", "😀", "$limit", "a" * 100):
            answer = client.get(f"{PATHS[1]}?user_id={user_id}")
            assert answer.status_code == 200, answer.text
            assert answer.json()["users"] == []
        assert_problem(client.get("/api/v1/analytics/nothing"), 404)
        assert_problem(client.post(PATHS[0]), 405)


def test_the_service_tells_about_itself(lake: LakeWriter) -> None:
    with open_client(lake.settings) as client:
        client.get(PATHS[0])
        client.get("/no/such/path")
        assert client.get("/ping").json() == {"status": "ok"}
        assert client.get("/version").json()["service"] == "analytics"
        assert {*PATHS, "/api/v1/publications/{a}/diff/{b}"} == set(client.get("/").json()["endpoints"])
        assert float(client.get("/ping").headers["x-process-time"]) >= 0
        text = client.get("/metrics").text
    assert (
        'tidemark_serving_request_duration_seconds_count{method="GET",route="/api/v1/analytics/events",status="200"} 1.0'
        in text
    )
    assert 'route="unmatched",status="404"' in text
    assert "/no/such/path" not in text
    assert "tidemark_serving_publication_id 0.0" in text
