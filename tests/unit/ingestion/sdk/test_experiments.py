"""Variants come from the experiment's configuration; asking for it neither blocks nor loses."""

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ingestion.sdk import UnknownVariantError
from ingestion.sdk.experiments import Experiments, edge_fetch
from tests.unit.ingestion.sdk.edges import ScriptedEdge, make_client


def fetch_from(handler: Callable[[httpx.Request], httpx.Response]) -> Any:
    return edge_fetch(httpx.Client(base_url="http://edge", transport=httpx.MockTransport(handler)))


@pytest.mark.feature("S1-2")
def test_configured_variants_are_the_only_ones() -> None:
    experiments = Experiments({"colours": ["red", "blue", "green"]})
    experiments.check("colours", "green")
    with pytest.raises(UnknownVariantError, match="colours has the variants red, blue, green, found A") as caught:
        experiments.check("colours", "A")
    assert caught.value.variants == ("red", "blue", "green")


@pytest.mark.feature("S1-2")
def test_an_experiment_that_nobody_knows_has_the_variants_a_and_b() -> None:
    experiments = Experiments({})
    experiments.check("any", "A")
    experiments.check("any", "B")
    experiments.check(None, None)
    experiments.check(None, "C")
    with pytest.raises(UnknownVariantError):
        experiments.check("any", "C")


@pytest.mark.feature("S1-2")
def test_a_client_takes_no_event_of_an_unknown_variant() -> None:
    client = make_client(ScriptedEdge(), experiments={"exp": ["A", "B", "C"]})
    client.track("u1", "feature_exposed", "exp", "C")
    with pytest.raises(UnknownVariantError):
        client.track("u1", "feature_exposed", "exp", "D")
    assert client.close().tracked == 1


@pytest.mark.feature("S1-2")
def test_the_edge_is_asked_once_and_its_answer_kept() -> None:
    paths: list[str] = []

    def edge(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path.decode())
        if "gone" in request.url.path:
            return httpx.Response(404)
        return httpx.Response(200, json={"experiment_id": "a/b", "variants": ["X", "Y"], "shares": [0.5, 0.5]})

    experiments = Experiments({}, fetch_from(edge), wait_seconds=10)
    for _ in range(3):
        experiments.check("a/b", "X")
        with pytest.raises(UnknownVariantError):
            experiments.check("a/b", "A")
        experiments.check("gone", "A")
        with pytest.raises(UnknownVariantError):
            experiments.check("gone", "X")
    assert paths == ["/experiments/a%2Fb", "/experiments/gone"]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("down"),
        httpx.Response(401),
        httpx.Response(500),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, content=b"\xff"),
        httpx.Response(200, json={"variants": []}),
        RuntimeError("Cannot send a request, as the client has been closed."),
    ],
)
def test_an_answer_that_cannot_be_had_lets_every_variant_pass_and_is_not_asked_for_again_at_once(
    answer: httpx.Response | Exception,
) -> None:
    asked: list[str] = []
    now = [0.0]

    def edge(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if isinstance(answer, Exception):
            raise answer
        return answer

    experiments = Experiments({}, fetch_from(edge), wait_seconds=10, timer=lambda: now[0])
    for experiment_id in ("one", "one", "two"):
        experiments.check(experiment_id, "anything")
    assert asked == ["/experiments/one"]
    now[0] = 31.0
    experiments.check("two", "anything")
    assert asked == ["/experiments/one", "/experiments/two"]


def test_a_silent_edge_holds_an_event_up_for_a_moment_only_and_once() -> None:
    released = threading.Event()

    def fetch(_: str) -> tuple[str, ...]:
        released.wait(30)
        return ("X",)

    experiments = Experiments({}, fetch, wait_seconds=0.05)
    started = time.monotonic()
    for _ in range(100):
        experiments.check("exp", "A")
    assert time.monotonic() - started < 2
    released.set()
    deadline = time.monotonic() + 10
    with pytest.raises(UnknownVariantError):
        while time.monotonic() < deadline:
            experiments.check("exp", "A")


def test_an_old_answer_serves_until_the_next_one_is_there() -> None:
    now, answers = [0.0], [("X",)]
    experiments = Experiments({}, lambda _: answers[0], wait_seconds=10, timer=lambda: now[0])
    experiments.check("exp", "X")
    now[0], answers[0] = 61.0, ("X", "Y")
    deadline = time.monotonic() + 10
    while True:
        try:
            return experiments.check("exp", "Y")
        except UnknownVariantError:
            assert time.monotonic() < deadline


@pytest.mark.parametrize("variants", ["AB", [], ()])
def test_an_experiment_without_a_list_of_variants_is_a_mistake(variants: Any) -> None:
    with pytest.raises(ValueError, match="at least one variant"):
        Experiments({"exp": variants})


def test_the_edge_is_asked_with_the_clients_key_only_when_told_to() -> None:
    asked: list[str] = []

    def edge(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            asked.append(request.headers["authorization"])
            return httpx.Response(200, json={"variants": ["Z"]})
        return ScriptedEdge()(request)

    client = make_client(edge, write_key="tmw_1", fetches_experiments=True)
    client.track("u1", "conversion", "exp", "Z")
    with pytest.raises(UnknownVariantError):
        client.track("u1", "conversion", "exp", "A")
    client.close()
    quiet = make_client(edge)
    quiet.track("u1", "conversion", "exp", "A")
    quiet.close()
    assert asked == ["Bearer tmw_1"]
