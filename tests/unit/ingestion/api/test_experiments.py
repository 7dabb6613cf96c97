"""The registry over HTTP, what it does to events, and what it knows while its store is away."""

import time
from typing import Any

import pytest

from ingestion.api.experiments import ExperimentRegistry, InMemoryExperiments
from ingestion.contracts.experiments import Experiment
from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import NOW, READ_KEY, WRITE_KEY, EdgeClient, encode, engagement, product

Edge = tuple[EdgeClient, InMemorySink]
KEY = {"X-API-Key": WRITE_KEY}
BODY = {"variants": ["control", "green"], "shares": [0.8, 0.2], "starts_at": "2026-11-01T00:00:00Z"}


def exposed(variant: str, **overrides: Any) -> dict[str, Any]:
    return product(event_type="feature_exposed", experiment_id="checkout", variant=variant, **overrides)


def test_put_registers_once_and_get_answers_the_same(edge: Edge) -> None:
    client, _ = edge
    assert client.get("/experiments/checkout", headers=KEY).status_code == 404
    first, again = (client.request("PUT", "/experiments/checkout", json=BODY, headers=KEY) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    expected = {**BODY, "starts_at": "2026-11-01T00:00:00.000000Z", "ends_at": None, "experiment_id": "checkout"}
    found = client.get("/experiments/checkout", headers=KEY)
    assert found.json() == first.json() == again.json() == expected
    assert client.request("PUT", "/experiments/checkout", json=found.json(), headers=KEY).status_code == 200
    assert client.get("/experiments", headers=KEY).json() == {"experiments": [expected], "total_count": 1}


def test_an_experiment_belongs_to_the_keys_app(edge: Edge) -> None:
    client, _ = edge
    client.request("PUT", "/experiments/checkout", json=BODY, headers=KEY)
    assert client.get("/experiments/checkout").status_code == 404  # app public
    assert client.get("/experiments").json()["total_count"] == 0
    assert client.get("/experiments/checkout", headers={"X-API-Key": READ_KEY}).status_code == 403
    assert client.get("/experiments/checkout", headers={"X-API-Key": "wrong"}).status_code == 401


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"variants":["A"]}', 422, "invalid_experiment"),
        (b"{", 422, "invalid_experiment"),
        (b" " * 70_000, 413, "body_too_large"),
    ],
    ids=["one variant", "no JSON", "too large"],
)
def test_bodies_that_are_refused(edge: Edge, body: bytes, status: int, code: str) -> None:
    client, _ = edge
    answer = client.request("PUT", "/experiments/checkout", content=body, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_started_experiment_may_gain_a_variant_and_lose_none(edge: Edge) -> None:
    client, _ = edge
    client.request("PUT", "/experiments/checkout", json={"variants": ["control", "green"]}, headers=KEY)
    refused = client.request("PUT", "/experiments/checkout", json={"variants": ["control", "red"]}, headers=KEY)
    assert (refused.status_code, refused.json()["code"]) == (409, "experiment_conflict")
    wider = {"variants": ["control", "green", "red"]}
    assert client.request("PUT", "/experiments/checkout", json=wider, headers=KEY).status_code == 200
    assert client.post("/events", json=exposed("red"), headers=KEY).status_code == 200


def test_a_registered_experiment_takes_its_own_variants_only(edge: Edge) -> None:
    client, sink = edge
    client.request("PUT", "/experiments/checkout", json=BODY, headers=KEY)
    assert client.post("/events", json=exposed("green"), headers=KEY).status_code == 200
    refused = client.post("/events", json=exposed("A"), headers=KEY)
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_variant")
    letter = sink.records[-1]
    assert (letter.topic, letter.value) == (
        "events.dlq.v1",
        encode(exposed("A")).replace(b": ", b":").replace(b", ", b","),
    )
    assert dict(letter.headers)["ce_dlqreason"] == b"unknown_variant"
    lines = b"\n".join(map(encode, (exposed("A"), exposed("control"), engagement())))
    answer = client.post("/v1/batch", content=lines, headers=KEY).json()
    assert (answer["accepted"], [error["code"] for error in answer["errors"]]) == (2, ["unknown_variant"])


def test_an_unregistered_experiment_takes_a_and_b_as_the_old_sdk_did(edge: Edge) -> None:
    client, _ = edge
    statuses = [client.post("/events", json=exposed(variant)).status_code for variant in ("A", "B", "C", "a")]
    assert statuses == [200, 200, 422, 422]
    assert client.post("/events", json=product(variant="whatever")).status_code == 200  # of no experiment


def test_while_the_store_is_away_what_is_known_stays_and_nothing_else_is_refused() -> None:
    store, now = InMemoryExperiments(), [100.0]
    registry = ExperimentRegistry(store, clock=lambda: now[0])
    assert registry.variants_of("shop", "checkout") is None  # never read
    store.put("shop", Experiment("checkout", ("x", "y"), (0.5, 0.5)), NOW)
    registry.refresh()
    store.available = False
    now[0] += 5.0
    assert registry.variants_of("shop", "other") == {"A", "B"}
    now[0] += 0.1
    assert registry.variants_of("shop", "other") is None
    assert registry.variants_of("shop", "checkout") == {"x", "y"}
    assert registry.variants_of("blog", "checkout") is None


def test_requests_while_the_store_is_away(edge: Edge) -> None:
    client, _ = edge
    client.request("PUT", "/experiments/checkout", json=BODY, headers=KEY)
    client.experiments.available = False
    assert client.get("/experiments/checkout", headers=KEY).status_code == 200
    refused = client.request("PUT", "/experiments/other", json=BODY, headers=KEY)
    assert (refused.status_code, refused.json()["retryable"]) == (503, True)


def test_what_another_process_registered_is_known_after_the_next_reading() -> None:
    store = InMemoryExperiments()
    registry = ExperimentRegistry(store, refresh_seconds=0.01)
    registry.start()
    try:
        store.put("shop", Experiment("checkout", ("x", "y"), (0.5, 0.5)), NOW)
        for _ in range(500):
            if registry.find("shop", "checkout") is not None:
                break
            time.sleep(0.01)
        assert registry.variants_of("shop", "checkout") == {"x", "y"}
    finally:
        registry.stop(5)


def test_the_routes_are_documented(edge: Edge) -> None:
    client, _ = edge
    paths = client.get("/openapi.json").json()["paths"]
    assert {"get", "put"} <= paths["/experiments/{experiment_id}"].keys()
    body = paths["/experiments/{experiment_id}"]["put"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["variants"]["minItems"] == 2
