"""A broker or a database that is away: nothing acknowledged that is not kept, and the client knows what to do."""

import time

import pytest

from ingestion.api.broker_monitor import BrokerMonitor
from ingestion.api.ledger import AcknowledgedCounts, InMemoryLedger
from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import NOW, EdgeClient, encode, engagement, generic

Edge = tuple[EdgeClient, InMemorySink]


@pytest.mark.feature("S0-5")
@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/api/v1/events", encode(engagement())),
        ("/api/v1/events", b"malformed, and cannot be kept"),
        ("/api/v1/events/batch", encode({"events": [engagement(), 7]})),
        ("/api/v1/events/batch", b"no batch"),
        ("/events", encode(generic())),
        ("/v1/batch", encode(engagement()) + b"\n{"),
    ],
)
def test_a_broker_that_is_away_is_a_retryable_503(edge: Edge, path: str, content: bytes) -> None:
    client, sink = edge
    sink.available = False
    answer = client.post(path, content=content)
    assert (answer.status_code, answer.json()["retryable"]) == (503, True)
    assert int(answer.headers["Retry-After"]) >= 1
    assert sink.records == []
    sink.available = True
    assert client.post("/api/v1/events", json=engagement()).status_code == 201


def test_a_rejected_event_that_could_not_be_kept_is_not_answered_as_rejected(edge: Edge) -> None:
    client, sink = edge
    sink.failing = {1}
    body = client.post("/v1/batch", content=encode(engagement()) + b"\n{").json()
    assert (body["accepted"], [(error["code"], error["retryable"]) for error in body["errors"]]) == (
        1,
        [("not_delivered", True)],
    )


@pytest.mark.feature("S0-6")
def test_health_turns_unhealthy_after_two_missed_checks_and_back_after_one_answer() -> None:
    sink, changes = InMemorySink(), []
    monitor = BrokerMonitor(sink, 60, changes.append)
    assert not monitor.is_reachable
    monitor.check()
    assert monitor.is_reachable
    sink.available = False
    monitor.check()
    assert monitor.is_reachable
    monitor.check()
    assert not monitor.is_reachable
    sink.available = True
    monitor.check()
    assert changes == [True, True, False, True]


@pytest.mark.feature("S0-6")
@pytest.mark.feature("S2-2")
@pytest.mark.parametrize("path", ["/", "/health"])
def test_health_names_what_is_away(path: str) -> None:
    sink = InMemorySink()
    with EdgeClient(sink, broker_check_seconds=0.02) as client:
        healthy = client.get(path)
        assert (healthy.status_code, healthy.json()["status"], healthy.json()["service"]) == (
            200,
            "healthy",
            "ingestion",
        )
        client.ledger.available = False
        _until(lambda: client.get(path).json()["status"] == "degraded")
        assert client.get(path).status_code == 200
        sink.available = False
        _until(lambda: client.get(path).status_code == 503)
        assert client.get(path).json()["kafka"] == "disconnected"
        # Known to be away: refused at once, the sink is not even asked.
        assert client.post("/api/v1/events", json=engagement()).status_code == 503


def test_acknowledged_events_are_counted_by_app_hour_and_topic(edge: Edge) -> None:
    client, _ = edge
    client.post("/v1/batch", content=encode(engagement()) + b"\n{\n" + encode(generic()))
    _until(lambda: len(client.ledger.counts) == 2)
    hour = NOW.replace(minute=0)
    assert sorted(client.ledger.counts) == [("public", hour, "events.dlq.v1", 1), ("public", hour, "events.raw.v1", 2)]


def test_counts_wait_in_memory_while_the_ledger_is_away() -> None:
    ledger = InMemoryLedger()
    counts = AcknowledgedCounts(ledger)
    ledger.available = False
    counts.count("shop", NOW, "t", 2)
    counts.flush()
    assert (ledger.counts, counts.is_ledger_reachable) == ([], False)
    ledger.available = True
    counts.count("shop", NOW, "t", 3)
    counts.flush()
    counts.flush()
    assert ledger.counts == [("shop", NOW.replace(minute=0), "t", 5)]


def test_counts_that_may_have_been_written_are_not_written_twice() -> None:
    class HalfWritten(InMemoryLedger):
        def add(self, counts: object) -> None:
            raise ConnectionError("lost while committing")

    counts = AcknowledgedCounts(HalfWritten())
    counts.count("shop", NOW, "t", 2)
    counts.flush()
    assert counts._pending == {}


def _until(claim: object, timeout_seconds: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not claim():  # type: ignore[operator]  # a callable without arguments
        assert time.monotonic() < deadline, "the claim did not come true in time"
        time.sleep(0.02)
