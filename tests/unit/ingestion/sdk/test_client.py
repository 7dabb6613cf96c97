"""The client: what is taken is sent under one id until the edge has a verdict, and every event is counted once."""

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ingestion.sdk import (
    AbandonedError,
    ClientClosedError,
    Event,
    EventClient,
    LostEventError,
    QueueFullError,
    RefusedError,
    RejectedError,
    Stats,
    Tuning,
    UnavailableError,
)
from tests.unit.ingestion.builders import NOW, download, engagement, generic
from tests.unit.ingestion.sdk.edges import Pauses, ScriptedEdge, make_client, receipt, rejected, undelivered

DOWN = httpx.ConnectError("down")


def assert_adds_up(stats: Stats) -> None:
    taken = stats.tracked + stats.recovered
    assert taken == stats.accepted + stats.rejected + stats.abandoned + stats.pending
    assert stats.rejected == sum(stats.rejected_by_code.values())


def down(count: int) -> list[Exception]:
    return [DOWN] * count


@pytest.mark.feature("S1-1")
def test_both_call_forms_send_the_same_event() -> None:
    edge = ScriptedEdge()
    client = EventClient("shop", "http://edge", 4, mode="manual", transport=httpx.MockTransport(edge))
    by_place = client.track("u1", "feature_exposed", "exp", "A", {"page": "/"})
    by_name = client.track(
        user_id="u1", event_type="feature_exposed", experiment_id="exp", variant="A", properties={"page": "/"}
    )
    event = Event.create("u1", "feature_exposed", experiment_id="exp", variant="A", properties={"page": "/"})
    assert client.send(event) == client.enqueue(event) == event.event_id
    client.flush()
    assert edge.ids == [by_place, by_name, event.event_id, event.event_id]
    own = ("event_id", "event_ts", "producer_ts")
    bodies = [{name: value for name, value in sent.items() if name not in own} for sent in edge.batches[0]]
    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[0]["app_id"] == "shop"
    client.close()


def test_all_families_go_in_one_request() -> None:
    edge = ScriptedEdge()
    client = make_client(edge)
    client.send(Event.create(family="engagement", now=NOW, **engagement()))
    client.send(Event.create(family="generic", now=NOW, **generic()))
    client.send(Event.create(family="download", now=NOW, **download()))
    client.track("u1", "page_view")
    assert client.close().accepted == 4
    assert len(edge.requests) == 1


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("http://edge:8000", "http://edge:8000/v1/batch"),
        ("http://edge:8000/", "http://edge:8000/v1/batch"),
        ("http://edge:8000/events", "http://edge:8000/v1/batch"),
        ("https://edge/in/", "https://edge/in/v1/batch"),
    ],
)
def test_the_endpoint_is_the_edges_address_or_its_route_of_single_events(endpoint: str, address: str) -> None:
    edge = ScriptedEdge()
    with EventClient("shop", endpoint, mode="manual", transport=httpx.MockTransport(edge)) as client:
        client.track("u1", "page_view")
    assert str(edge.requests[0].url) == address


def test_the_key_goes_into_the_header_and_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    edge = ScriptedEdge(httpx.Response(401))
    with caplog.at_level(logging.DEBUG):
        client = make_client(edge, write_key="tmw_secret")
        client.track("secret_user", "page_view")
        client.close()
    assert edge.requests[0].headers["authorization"] == "Bearer tmw_secret"
    assert "secret" not in repr(client) + caplog.text


@pytest.mark.parametrize(
    "arguments",
    [
        {"app_id": ""},
        {"app_id": "a" * 101},
        {"endpoint": "edge:8000"},
        {"endpoint": "ftp://edge"},
        {"endpoint": "http://"},
        {"timeout": 0},
        {"mode": "async"},
        {"write_key": ""},
        {"write_key": "two words"},
        {"experiments": {"exp": "AB"}},
        {"source": "\0"},
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        EventClient(**{"app_id": "shop", "endpoint": "http://edge", **arguments})


@pytest.mark.parametrize("knob", ["queue_max_events", "batch_max_bytes", "flush_interval_seconds", "gzip_above_bytes"])
def test_knobs_have_bounds(knob: str) -> None:
    with pytest.raises(ValueError, match=knob):
        Tuning(**{knob: -1})
    with pytest.raises(ValueError, match="batch_max_events"):
        Tuning(batch_max_events=50_001)


@pytest.mark.feature("S1-1")
@pytest.mark.parametrize("failure", [DOWN, httpx.Response(503), httpx.Response(429), httpx.Response(200, text="hi")])
def test_what_was_not_acknowledged_is_sent_again_byte_for_byte(failure: httpx.Response | Exception) -> None:
    edge, pauses = ScriptedEdge(failure, failure), Pauses()
    client = make_client(edge, sleep=pauses)
    client.track("u1", "page_view")
    client.flush()
    assert len({request.content for request in edge.requests}) == 1
    assert len(edge.requests) == 3
    stats = client.close()
    assert (stats.accepted, stats.requests, stats.retries) == (1, 3, 2)


def test_pauses_double_up_to_a_bound_and_are_spread() -> None:
    pauses = Pauses()
    client = make_client(ScriptedEdge(*down(8)), sleep=pauses)
    client.track("u1", "page_view")
    client.flush()
    for pause, whole in zip(pauses, [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0], strict=True):
        assert whole / 2 <= pause <= whole
    assert len({pause / whole for pause, whole in zip(pauses[-3:], [5.0] * 3, strict=True)}) == 3


def test_retry_after_is_honoured_and_spread() -> None:
    pauses = Pauses()
    client = make_client(ScriptedEdge(httpx.Response(503, headers={"Retry-After": "60"})), sleep=pauses)
    client.track("u1", "page_view")
    client.flush()
    assert 60 <= pauses[0] <= 60.2


def test_lines_that_were_not_acknowledged_are_sent_again_alone() -> None:
    edge = ScriptedEdge(receipt(3, undelivered(1)))
    client = make_client(edge)
    ids = [client.track("u1", "page_view") for _ in range(3)]
    client.flush()
    assert edge.ids == [*ids, ids[1]]
    assert client.close().accepted == 3


@pytest.mark.feature("S1-2")
def test_what_the_edge_rejects_is_counted_told_and_not_sent_again() -> None:
    told: list[LostEventError] = []
    edge = ScriptedEdge(receipt(3, rejected(0, "wrong_app"), rejected(2, "occurred_in_future")))
    client = make_client(edge, on_error=told.append)
    ids = [client.track("u1", "page_view") for _ in range(3)]
    client.flush()
    client.flush()
    stats = client.close()
    assert [(error.event_id, type(error)) for error in told] == [(ids[0], RejectedError), (ids[2], RejectedError)]
    assert json.loads(told[0].raw)["event_id"] == ids[0]
    assert stats.rejected_by_code == {"wrong_app": 1, "occurred_in_future": 1}
    assert (stats.accepted, stats.rejected, len(edge.requests)) == (1, 2, 1)
    assert_adds_up(stats)


def test_an_on_error_that_raises_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def on_error(_: LostEventError) -> None:
        raise KeyError("mine")

    client = make_client(ScriptedEdge(receipt(2, rejected(0), rejected(1))), on_error=on_error)
    client.track("u1", "page_view")
    client.track("u1", "page_view")
    client.flush()
    assert client.close().rejected == 2
    assert caplog.text.count("on_error raised") == 2


def test_a_body_that_is_too_large_is_cut_until_the_culprit_is_alone() -> None:
    def edge(request: httpx.Request) -> httpx.Response:
        if b'"bad"' in request.content:
            return httpx.Response(413)
        return receipt(len(request.content.splitlines()))

    told: list[LostEventError] = []
    client = make_client(edge, on_error=told.append, tuning=Tuning(gzip_above_bytes=10**6))
    ids = [client.track("bad" if n == 5 else "u1", "page_view") for n in range(9)]
    client.flush()
    stats = client.close()
    assert [error.event_id for error in told] == [ids[5]]
    assert (stats.accepted, stats.rejected_by_code) == (8, {"http_413": 1})


@pytest.mark.parametrize("tuning", [Tuning(queue_max_events=3), Tuning(queue_max_bytes=800)])
@pytest.mark.feature("S1-1")
def test_a_full_queue_refuses_the_next_event_and_counts_it(tuning: Tuning) -> None:
    client = make_client(ScriptedEdge(), tuning=tuning)
    taken: list[str] = []
    refused = 0
    for _ in range(10):
        try:
            taken.append(client.track("u1", "page_view"))
        except QueueFullError:
            refused += 1
    assert 0 < len(taken) <= 3
    stats = client.stats()
    assert (stats.tracked, stats.overflowed, stats.pending) == (len(taken), refused, len(taken))
    client.flush()
    client.track("u1", "page_view")
    assert_adds_up(client.close())


@pytest.mark.feature("S1-2")
def test_each_returns_when_the_edge_has_the_event_and_raises_what_went_wrong() -> None:
    edge = ScriptedEdge(None, DOWN, None, receipt(1, rejected(0)), httpx.Response(401), *down(50))
    told: list[LostEventError] = []
    client = make_client(edge, mode="each", on_error=told.append)
    client.track("u1", "page_view")
    assert client.stats().accepted == 1
    client.track("u1", "page_view")
    assert (client.stats().accepted, client.stats().retries) == (2, 1)
    with pytest.raises(RejectedError, match="wrong_app"):
        client.track("u1", "page_view")
    with pytest.raises(RefusedError) as refused:
        client.track("u1", "page_view")
    assert not refused.value.is_kept
    stats = client.close()
    assert (stats.accepted, stats.rejected, stats.abandoned, stats.pending, told) == (2, 1, 1, 0, [])


def test_each_gives_up_in_time_and_keeps_nothing_without_a_spool() -> None:
    client = EventClient(
        "shop", "http://edge", 0.3, mode="each", transport=httpx.MockTransport(ScriptedEdge(*down(1000)))
    )
    with pytest.raises(UnavailableError, match="down") as late:
        client.track("u1", "page_view")
    assert not late.value.is_kept
    assert (client.stats().abandoned, client.stats().pending) == (1, 0)
    client.close()


def test_flush_raises_when_time_is_up_and_keeps_the_events() -> None:
    edge = ScriptedEdge(*down(2))
    client = make_client(edge, sleep=None, tuning=Tuning(first_pause_seconds=30))
    event_id = client.track("u1", "page_view")
    with pytest.raises(UnavailableError, match="1 events are not acknowledged") as late:
        client.flush(0.1)
    assert late.value.is_kept
    with pytest.raises(UnavailableError):
        client.flush(0.1)
    client.flush()
    assert set(edge.ids) == {event_id}
    client.close()


def test_a_client_that_is_refused_says_so_at_once_and_keeps_its_events() -> None:
    client = make_client(ScriptedEdge(httpx.Response(403, json={"code": "read_key", "message": "a read key"})))
    client.track("u1", "page_view")
    with pytest.raises(RefusedError, match="read_key: 403 a read key") as refused:
        client.flush()
    assert refused.value.is_kept
    client.flush()
    assert client.close().accepted == 1


@pytest.mark.feature("S1-1")
def test_close_tries_once_more_and_says_what_it_gave_up() -> None:
    told: list[LostEventError] = []
    client = make_client(ScriptedEdge(receipt(2, undelivered(1)), *down(100)), on_error=told.append, sleep=None)
    ids = [client.track("u1", "page_view") for _ in range(2)]
    stats = client.close(timeout=0.3)
    assert (stats.accepted, stats.abandoned, stats.pending) == (1, 1, 0)
    assert [(type(error), error.event_id) for error in told] == [(AbandonedError, ids[1])]
    assert client.close() == stats
    with pytest.raises(ClientClosedError):
        client.track("u1", "page_view")


def background(edge: Callable[[httpx.Request], httpx.Response], **tuning: Any) -> EventClient:
    return EventClient("shop", "http://edge", transport=httpx.MockTransport(edge), tuning=Tuning(**tuning))


def test_in_the_background_events_wait_for_company_but_not_for_long() -> None:
    edge = ScriptedEdge()
    with background(edge, flush_interval_seconds=0.05) as client:
        for _ in range(20):
            client.track("u1", "page_view")
        deadline = threading.Event()
        for _ in range(200):
            if client.stats().accepted == 20:
                break
            deadline.wait(0.05)
        assert client.stats().accepted == 20
    assert len(edge.requests) < 20


def test_a_full_batch_does_not_wait() -> None:
    with background(ScriptedEdge(), flush_interval_seconds=600, batch_max_events=10) as client:
        for _ in range(10):
            client.track("u1", "page_view")
        for _ in range(200):
            if client.stats().accepted == 10:
                break
            threading.Event().wait(0.05)
        assert client.stats().accepted == 10


def test_flush_in_the_background_ends_waiting_and_pauses() -> None:
    edge = ScriptedEdge(DOWN)
    with background(edge, flush_interval_seconds=0, first_pause_seconds=600, longest_pause_seconds=600) as client:
        client.track("u1", "page_view")
        for _ in range(200):
            if client.stats().requests:
                break
            threading.Event().wait(0.05)
        client.flush(20)
        assert client.stats().accepted == 1


def test_flush_in_the_background_says_what_is_wrong() -> None:
    client = background(ScriptedEdge(*[httpx.Response(401)] * 100))
    client.track("u1", "page_view")
    with pytest.raises(RefusedError):
        client.flush(20)
    client.close(0)
    late = background(ScriptedEdge(*down(1000)))
    late.track("u1", "page_view")
    with pytest.raises(UnavailableError, match="down"):
        late.flush(0.3)
    assert late.close(0).abandoned == 1


def test_many_threads_lose_nothing_and_make_no_id_twice() -> None:
    edge = ScriptedEdge(*[DOWN, None] * 5)
    ids: list[str] = []
    with background(edge, batch_max_events=50, first_pause_seconds=0.01) as client:

        def work() -> None:
            for _ in range(200):
                ids.append(client.track("u1", "page_view"))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    stats = client.close()
    assert len(set(ids)) == 1600
    assert set(edge.ids) == set(ids)
    assert (stats.tracked, stats.accepted) == (1600, 1600)


def test_one_users_events_arrive_in_their_order() -> None:
    edge = ScriptedEdge(DOWN, receipt(7, *[undelivered(n) for n in range(7)]), httpx.Response(503))
    client = make_client(edge, tuning=Tuning(batch_max_events=7))
    ids = [client.track("u1", "page_view") for _ in range(20)]
    client.flush()
    client.close()
    first_acceptance = [event["event_id"] for batch in edge.batches[3:] for event in batch]
    assert first_acceptance == ids


def test_a_defect_of_the_machinery_does_not_end_the_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(_: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    monkeypatch.setattr("ingestion.sdk.worker._AFTER_DEFECT_SECONDS", 0.01)
    calls = iter([defect])
    accepting = ScriptedEdge()
    with background(lambda request: next(calls, accepting)(request), flush_interval_seconds=0.01) as client:
        client.track("u1", "page_view")
        client.flush(20)
    assert "delivery failed unexpectedly" in caplog.text
    assert client.stats().accepted == 1
