"""A broker or a database that is away: nothing acknowledged that is not kept, and the client knows what to do."""

import time
from concurrent.futures import Future

import pytest

from ingestion.api.broker_monitor import BrokerMonitor
from ingestion.api.ledger import AcknowledgedCounts, InMemoryLedger
from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC
from ingestion.sinks import InMemorySink
from ingestion.sinks.sink import Batch, Outcome
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


class _Choosy(InMemorySink):
    """Takes records of one topic only."""

    def __init__(self, topic: str) -> None:
        super().__init__()
        self._topic = topic

    def submit(self, batch: Batch) -> "Future[Outcome]":
        records = list(batch.records)
        self.failing = {place for place, record in enumerate(records) if record.topic != self._topic}
        return super().submit(Batch.of(records))


def test_a_rejected_event_that_could_not_be_kept_is_not_answered_as_rejected() -> None:
    lines = [encode(engagement()), b"{", encode(generic()), b"["]
    with EdgeClient(_Choosy(LIVE_TOPIC)) as client:
        body = client.post("/v1/batch", content=b"\n".join(lines)).json()
        assert (body["accepted"], [(error["index"], error["code"]) for error in body["errors"]]) == (
            2,
            [(1, "not_delivered"), (3, "not_delivered")],
        )
        assert all(error["retryable"] for error in body["errors"])
        assert client.post("/v1/batch", content=b"{").status_code == 503


@pytest.mark.feature("S0-9")
@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/api/v1/events/batch", encode({"events": [7, engagement(), 7]})),
        ("/v1/batch", b"\n".join([b"{", encode(engagement()), b"["])),
    ],
)
def test_a_request_refused_as_a_whole_leaves_no_dead_letter(path: str, content: bytes) -> None:
    sink = _Choosy(DEAD_LETTER_TOPIC)
    with EdgeClient(sink) as client:
        assert client.post(path, content=content).status_code == 503
        assert sink.records == []
        metrics = client.get("/metrics").text
        assert "tidemark_ingestion_events_refused_total" in metrics
        assert 'reason="malformed_json"' not in metrics, "rejected is what an answer named"


def test_rejected_events_are_told_apart_from_those_that_were_not_delivered(edge: Edge) -> None:
    client, sink = edge
    sink.failing = {1}  # the second of the good ones
    lines = [b"{", encode(engagement(event_id="e1")), b"{", encode(generic(event_id="e2")), encode(generic())]
    body = client.post("/v1/batch", content=b"\n".join(lines)).json()
    assert (body["accepted"], [(error["index"], error["code"]) for error in body["errors"]]) == (
        2,
        [(0, "malformed_json"), (2, "malformed_json"), (3, "not_delivered")],
    )
    topics = [record.topic for record in sink.records]
    assert topics == [LIVE_TOPIC, LIVE_TOPIC, DEAD_LETTER_TOPIC, DEAD_LETTER_TOPIC], "rejected ones follow"


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


def test_a_look_that_fails_is_not_the_last_one() -> None:
    # Regression: the thread ended, and the API refused requests until it was restarted.
    sink, looks = InMemorySink(), []

    def fail_once(is_reachable: bool) -> None:
        looks.append(is_reachable)
        if len(looks) == 2:
            raise OSError("no space left on device")

    monitor = BrokerMonitor(sink, 0.01, fail_once)
    monitor.start()
    _until(lambda: len(looks) > 3)
    monitor.stop(5)


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
