"""Any sequence of tracking, answers, faults, crashes and restarts, against the real API over a sink in memory.

Nothing that `track` returned for is lost or known under two ids, nothing acknowledged is sent again, and the counts add up.
"""

import atexit
import json
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from random import Random

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ingestion.contracts.topics import LIVE_TOPIC
from ingestion.sdk import EventClient, LostEventError, QueueFullError, RejectedError, Tuning
from ingestion.sdk.spool.frames import event_frame
from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import NOW, EdgeClient
from tests.unit.ingestion.sdk.edges import Pauses, RealEdge, make_client

TUNING = Tuning(queue_max_events=25, queue_max_bytes=6000, batch_max_events=6, gzip_above_bytes=1500)
SPOOL_BOUND_BYTES = 6000


class SpooledClient(RuleBasedStateMachine):
    """A client with a spool too small for comfort: segments of two events, overflows, rewriting of old segments."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.sink = InMemorySink()
        self.api = EdgeClient(self.sink).__enter__()
        self.edge = RealEdge(self.api)
        self.tracked: dict[str, int] = {}
        self.lost: list[LostEventError] = []
        self.number = 0
        self.earlier: Counter[str] = Counter()
        self.client: EventClient = self.open()

    def open(self) -> EventClient:
        return make_client(
            self.edge,
            spool_path=Path(self.folder.name) / "spool",
            tuning=TUNING,
            on_error=self.lost.append,
            sleep=Pauses(),
            random=Random(0),
        )

    @initialize(count=st.integers(0, 5))
    def begin(self, count: int) -> None:
        for _ in range(count):
            self.track(size=0)

    @rule(size=st.integers(0, 300))
    def track(self, size: int) -> None:
        self.number += 1
        self._take(properties={"number": self.number, "text": "x" * size})

    @rule()
    def track_what_only_the_edge_rejects(self) -> None:
        """The client's clock is ten minutes ahead."""
        self.number += 1
        ahead = NOW + timedelta(minutes=10)
        real, self.client._clock = self.client._clock, lambda: ahead
        self._take(properties={"number": self.number})
        self.client._clock = real

    def _take(self, properties: dict[str, object]) -> None:
        before = self.client.stats().overflowed
        try:
            event_id = self.client.track("u1", "page_view", properties=properties)
        except QueueFullError:
            assert self.client.stats().overflowed == before + 1
        else:
            assert event_id not in self.tracked
            self.tracked[event_id] = self.number

    @rule()
    def deliver(self) -> None:
        self.client._delivery.courier.deliver()

    @rule(fault=st.sampled_from(["lose_request", "lose_answer", "garbled"]))
    def deliver_over_a_bad_way(self, fault: str) -> None:
        setattr(self.edge, fault, True)
        self.client._delivery.courier.deliver()
        setattr(self.edge, fault, False)

    @rule(positions=st.sets(st.integers(0, 5), min_size=1))
    def deliver_while_the_broker_takes_some_only(self, positions: set[int]) -> None:
        self.sink.failing = set(positions)
        self.client._delivery.courier.deliver()
        self.sink.failing = set()

    @rule()
    def deliver_while_the_broker_is_away(self) -> None:
        self.sink.available = False
        self.client._delivery.courier.deliver()
        self.sink.available = True

    @rule()
    def flush(self) -> None:
        self.client.flush(30)
        assert self.client.stats().pending == 0

    @rule()
    def close_and_reopen(self) -> None:
        self.client.close()
        self._note_counts()
        assert self.client.stats().pending == 0
        self.client = self.open()

    @rule(tail=st.binary(max_size=40) | st.integers(0, 30))
    def crash_and_reopen(self, tail: bytes | int) -> None:
        """The process is gone: nothing is flushed, and perhaps half a frame, or rubbish, is at the end."""
        self._note_counts()
        self.client._delivery.outbox.disown()
        atexit.unregister(self.client.close)
        last = max(Path(self.folder.name).glob("spool/*.log"))
        half = event_frame(10**6, b'{"event_id":"never tracked"}')[:tail] if isinstance(tail, int) else tail
        with last.open("ab") as file:
            file.write(half)
        pending = self.client.stats().pending
        self.client = self.open()
        assert self.client.stats().recovered == pending

    def _note_counts(self) -> None:
        stats = self.client.stats()
        self.earlier.update(tracked=stats.tracked, accepted=stats.accepted, rejected=stats.rejected)

    @precondition(lambda self: bool(self.tracked))
    @invariant()
    def nothing_tracked_is_lost_and_nothing_has_two_ids(self) -> None:
        waiting = {json.loads(entry.raw)["event_id"] for entry in self.client._delivery.outbox._store.head(99, 10**6)}
        bodies = {record.value for record in self.sink.records if record.topic == LIVE_TOPIC}
        arrived = [json.loads(body) for body in bodies]
        by_id = {event["event_id"]: event["properties"]["number"] for event in arrived}
        assert len(by_id) == len(arrived), "one id, two bodies"
        assert by_id.items() <= self.tracked.items()
        rejected = {error.event_id for error in self.lost}
        assert set(self.tracked) <= waiting | set(by_id) | rejected
        assert all(isinstance(error, RejectedError) for error in self.lost)

    @invariant()
    def only_what_was_never_answered_arrives_twice(self) -> None:
        copies = Counter(record.value for record in self.sink.records if record.topic == LIVE_TOPIC)
        assert {raw for raw, count in copies.items() if count > 1} <= self.edge.unanswered

    @invariant()
    def counts_add_up(self) -> None:
        stats = self.client.stats()
        assert stats.tracked + stats.recovered == stats.accepted + stats.rejected + stats.abandoned + stats.pending
        assert self.earlier["tracked"] + stats.tracked == len(self.tracked)
        assert stats.abandoned == 0
        done = self.earlier["accepted"] + self.earlier["rejected"] + stats.accepted + stats.rejected
        assert done + stats.pending == len(self.tracked)
        assert self.earlier["rejected"] + stats.rejected == len(self.lost)
        assert stats.pending_bytes <= SPOOL_BOUND_BYTES * 1.5

    def teardown(self) -> None:
        self.client.flush(30)
        self.nothing_tracked_is_lost_and_nothing_has_two_ids() if self.tracked else None
        assert self.client.close().pending == 0
        self.api.__exit__(None, None, None)
        self.folder.cleanup()


TestSpooledClient = SpooledClient.TestCase
TestSpooledClient.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
