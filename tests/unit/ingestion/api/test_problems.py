"""Refusals are RFC 9457 problems of documented types, whoever refuses."""

from typing import Any

import httpx
import pytest

from ingestion.api.errors import ErrorCode
from ingestion.api.problems import PROBLEMS, problem_type
from ingestion.contracts.reasons import Reason
from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import READ_KEY, EdgeClient, engagement, product, running_edge

Edge = tuple[EdgeClient, InMemorySink]
# Reasons that are found when a record lands, by a consumer, or in files: no request is refused with them.
NOT_AT_THE_EDGE = {"missing_header", "empty_value", "unknown_contract", "bad_occurred_at", "bad_received_at", "null_key",
                   "malformed_row", "unstorable", "handler_failed"}  # fmt: skip


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that the answer must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == f"urn:tidemark:problem:{code.replace('_', '-')}"
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"] == PROBLEMS[code].title
    assert problem["detail"] == problem["message"] != ""
    return problem


def test_every_refusal_of_the_edge_is_documented_with_meaning_and_remedy() -> None:
    codes = {code.value for code in ErrorCode} | {reason.value for reason in Reason} - NOT_AT_THE_EDGE
    assert codes - PROBLEMS.keys() == set(), "add these to ingestion/api/problems.py"
    assert all(problem.meaning and problem.remedy and problem.status >= 400 for problem in PROBLEMS.values())
    assert len({problem.uri for problem in PROBLEMS.values()}) == len(PROBLEMS)
    assert problem_type("of_another_module").title == "Of another module"


@pytest.mark.parametrize(
    ("method", "path", "arguments", "status", "code"),
    [
        ("POST", "/api/v1/events", {"json": engagement(platform="fax")}, 422, "invalid_field"),
        ("POST", "/api/v1/events", {"content": b"{"}, 422, "malformed_json"),
        ("POST", "/api/v1/events", {"content": b" " * 1_048_577}, 413, "body_too_large"),
        ("POST", "/api/v1/events", {"json": {}, "headers": {"X-API-Key": "x"}}, 401, "wrong_key"),
        ("POST", "/api/v1/events", {"json": {}, "headers": {"X-API-Key": READ_KEY}}, 403, "read_key"),
        ("POST", "/events", {"json": product(app_id="shop")}, 401, "key_required"),
        ("POST", "/v1/batch", {"content": b"x", "headers": {"Content-Encoding": "gzip"}}, 400, "bad_encoding"),
        ("POST", "/v1/batch", {"content": b""}, 422, "batch_empty"),
        ("POST", "/nowhere", {"json": {}}, 404, "not_found"),
        ("GET", "/api/v1/events", {}, 405, "method_not_allowed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals_are_problems(
    edge: Edge, method: str, path: str, arguments: dict[str, Any], status: int, code: str
) -> None:
    answer = edge[0].request(method, path, **arguments)
    assert assert_problem(answer, status, code)["retryable"] is False
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    if status == 405:
        assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/config", "DELETE, GET, PUT"),
        ("OPTIONS", "/experiments/checkout", "GET, PUT"),
        ("POST", "/subjects/orders/versions/1", "DELETE, GET"),
        ("POST", "/subjects/orders/versions/1/schema", "GET"),
        ("HEAD", "/subjects/orders", "DELETE, POST"),
        ("DELETE", "/v1/batch", "POST"),
        ("POST", "/openapi.json", "GET, HEAD"),
    ],
)
def test_a_405_names_every_method_of_the_path(edge: Edge, method: str, path: str, allowed: str) -> None:
    # Regression: `Allow: PUT` alone, though GET and DELETE are served too, by routes of their own.
    answer = edge[0].request(method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


def test_what_may_be_sent_again_says_so() -> None:
    with running_edge(bodies_max_bytes=1024) as (client, _):
        answer = client.post("/v1/batch", content=b" " * 2000)
        assert assert_problem(answer, 503, "unavailable")["retryable"] is True
        assert answer.headers["Retry-After"] == "2"


def test_an_unexpected_failure_is_a_problem_and_its_log_line_holds_nothing_that_was_sent(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the payload of user_1")

    monkeypatch.setattr("ingestion.api.intake.Stamper.stamp", fail)
    monkeypatch.setattr("ingestion.sinks.memory.InMemorySink.publish", fail)
    transport = httpx.ASGITransport(app=edge[0].app, raise_app_exceptions=False)

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://edge") as client:
            return await client.post("/api/v1/events", json=engagement())

    assert_problem(edge[0]._runner.run(send()), 500, "internal")
    logged = "".join(capsys.readouterr())
    assert "request failed" in logged
    assert "user_1" not in logged
