"""The worker's order of things: read, write, commit; and what it does when something is away or a record is bad."""

import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from ingestion.contracts.reasons import Reason
from storage.hot_store.errors import StoreUnavailableError
from storage.hot_store.events import HotEvent, first_kept_day
from storage.hot_store.memory import InMemoryHotStore
from streaming.hot_store.avro_bodies import AvroBodies
from streaming.hot_store.batches import PART_BYTES, Handler
from streaming.hot_store.metrics import WorkerMetrics
from streaming.hot_store.records import Record, RecordParser
from streaming.hot_store.worker import Worker
from tests.fixtures.hot_events import live_record
from tests.unit.streaming.hot_store.fakes import MemoryDeadLetters, MemorySource


class Bench:
    """A worker over parts in memory, with a clock that only waiting moves."""

    def __init__(self, source: MemorySource, store: InMemoryHotStore) -> None:
        self.source, self.store, self.letters, self.metrics = source, store, MemoryDeadLetters(), WorkerMetrics()
        self.stopping = threading.Event()
        self._now = 0.0
        avro = AvroBodies(dict)
        handler = Handler(
            RecordParser(date(2015, 1, 1), avro), avro, store, self.letters, lambda now: first_kept_day(now, 7)
        )
        self.worker = Worker(
            source, store, handler, self.metrics,
            batch_max_records=100, gather_seconds=0, retry_max_seconds=1, clock=self._tick,
        )  # fmt: skip

    def _tick(self) -> float:
        self._now += 0.05
        return self._now

    def run(self) -> None:
        self.source.on_empty = self.stopping.set
        self.worker.run(self.stopping)

    def count(self, outcome: str) -> float:
        return self.metrics.registry.get_sample_value("tidemark_hot_store_records_total", {"outcome": outcome}) or 0


def bench(records: list[Record], store: InMemoryHotStore | None = None, **of_source: int) -> Bench:
    return Bench(MemorySource(records, **of_source), store or InMemoryHotStore())


def ids(store: InMemoryHotStore) -> list[str]:
    return sorted(event.event_id for event in store.latest("app", 1000))


@pytest.mark.feature("S2-4")
def test_offsets_are_committed_after_the_write() -> None:
    seen: list[list[str]] = []
    subject = bench([live_record(offset) for offset in range(5)], batch=2)
    commit = subject.source.commit
    subject.source.commit = lambda ends: (seen.append(ids(subject.store)), commit(ends))[1]  # type: ignore[method-assign]

    subject.run()

    assert seen == [["e-0", "e-1"], ["e-0", "e-1", "e-2", "e-3"], ["e-0", "e-1", "e-2", "e-3", "e-4"]]
    assert subject.source.committed == {0: 5}


@pytest.mark.feature("S2-5")
def test_a_record_that_cannot_be_handled_becomes_a_dead_letter_before_its_offset_is_passed() -> None:
    bad = live_record(1, value=b"{not json", partition=0)
    subject = bench([live_record(0), bad, live_record(2)])

    subject.run()

    assert ids(subject.store) == ["e-0", "e-2"]
    [letter] = subject.letters.letters
    assert (letter.record, letter.reason, letter.error) == (bad, Reason.MALFORMED_JSON, "RejectedRecordError")
    assert subject.source.committed == {0: 3}
    assert (subject.count("written"), subject.count("dead_letter")) == (2, 1)


@pytest.mark.feature("S2-4")
@pytest.mark.feature("S2-5")
def test_no_offset_passes_while_the_dead_letters_are_away_and_none_is_sent_twice() -> None:
    subject = bench([live_record(0, value=b""), live_record(1)])
    subject.letters.available = False
    commits_while_away: list[int] = []

    def come_back() -> None:
        commits_while_away.append(len(subject.source.commits))
        subject.letters.available = subject.source.holds >= 10

    subject.source.on_hold = come_back
    subject.run()

    assert set(commits_while_away) == {0}
    assert len(subject.letters.letters) == 1
    assert subject.source.committed == {0: 2}
    assert not subject.source.is_held


@pytest.mark.feature("S2-4")
def test_while_the_store_is_away_the_batch_is_held_and_the_worker_heals_by_itself() -> None:
    subject = bench([live_record(offset) for offset in range(3)])
    subject.store.available = False
    states: list[str] = []

    def come_back() -> None:
        states.append(subject.worker.state)
        subject.store.available = subject.source.holds >= 20

    subject.source.on_hold = come_back
    subject.run()

    assert set(states) == {"store_unavailable"}
    assert ids(subject.store) == ["e-0", "e-1", "e-2"]
    assert subject.source.commits == [{0: 3}]


@pytest.mark.feature("S2-16")
def test_the_lag_grows_while_the_store_is_away() -> None:
    # Regression: it was told only between batches, so an outage showed the lag from before it.
    subject = bench([live_record(offset) for offset in range(3)])
    subject.store.available = False
    lags: list[float | None] = []

    def go_on() -> None:
        lags.append(subject.metrics.registry.get_sample_value("tidemark_hot_store_consumer_lag_records"))
        subject.source.records.append(live_record(100 + len(lags)))
        subject.store.available = len(lags) >= 40

    subject.source.on_hold = go_on
    subject.run()

    assert lags == sorted(lags, key=lambda lag: lag or 0)
    assert 3 < (lags[-1] or 0) <= 43
    assert subject.metrics.registry.get_sample_value("tidemark_hot_store_consumer_lag_records") == 0


@pytest.mark.feature("S2-7")
def test_a_stop_while_the_store_is_away_commits_nothing() -> None:
    subject = bench([live_record(0)])
    subject.store.available = False
    subject.source.on_hold = subject.stopping.set

    subject.worker.run(subject.stopping)

    assert subject.source.commits == []
    assert subject.worker.state == "stopping"


@pytest.mark.feature("S2-7")
def test_a_stop_during_a_write_finishes_and_commits_the_batch() -> None:
    subject = bench([live_record(offset) for offset in range(10)], batch=5)
    write = subject.store.write

    def stop_then_write(events: list[HotEvent]) -> int:
        subject.stopping.set()
        return write(events)

    subject.store.write = stop_then_write  # type: ignore[method-assign,assignment]
    subject.worker.run(subject.stopping)

    assert subject.source.committed == {0: 5}
    assert len(ids(subject.store)) == 5


def test_records_of_a_partition_that_was_given_away_are_left_to_its_new_owner() -> None:
    subject = bench([live_record(0, partition=0), live_record(7, "other", partition=1)])
    subject.store.available = False

    def lose_one() -> None:
        subject.source.partitions = frozenset({0})
        subject.store.available = subject.source.holds >= 3

    subject.source.on_hold = lose_one
    subject.run()

    assert ids(subject.store) == ["e-0"]
    assert subject.source.committed == {0: 1}


def test_of_a_batch_that_the_store_refuses_only_what_it_refuses_is_left_out() -> None:
    store = InMemoryHotStore(refuses=lambda event: event.event_id in ("e-3", "e-17"))
    subject = bench([live_record(offset) for offset in range(40)], store)

    subject.run()

    assert len(ids(store)) == 38
    assert [(letter.record.offset, letter.reason) for letter in subject.letters.letters] == [
        (3, Reason.UNSTORABLE),
        (17, Reason.UNSTORABLE),
    ]
    assert subject.source.committed == {0: 40}


@pytest.mark.feature("S2-5")
def test_a_copy_of_a_refused_event_in_its_batch_is_tried_itself() -> None:
    # Regression: it was counted as a copy of what is not there, and nothing pointed to it.
    store = InMemoryHotStore(refuses=lambda event: event.kafka_offset in (1, 3))
    twins = {1: "twin", 2: "twin", 3: "both", 4: "other", 5: "twin"}
    subject = bench([live_record(offset, twins.get(offset)) for offset in range(7)], store)

    subject.run()

    assert {event.event_id: event.kafka_offset for event in store.latest("app", 10)} == {
        "e-0": 0, "twin": 2, "other": 4, "e-6": 6,
    }  # fmt: skip
    assert [letter.record.offset for letter in subject.letters.letters] == [1, 3]
    assert (subject.count("written"), subject.count("copy"), subject.count("dead_letter")) == (4, 1, 2)


def test_every_record_is_counted_once_whatever_becomes_of_it() -> None:
    old = (datetime.now(UTC) - timedelta(days=30)).isoformat().encode()
    records = [
        live_record(0),
        live_record(1, "e-0"),
        live_record(2, stamps={"time": old}),
        live_record(3, value=None),
        live_record(4),
    ]
    subject = bench(records)

    subject.run()

    counts = {name: subject.count(name) for name in ("written", "copy", "expired", "dead_letter")}
    assert counts == {"written": 2, "copy": 1, "expired": 1, "dead_letter": 1}
    assert subject.metrics.registry.get_sample_value("tidemark_hot_store_visible_seconds_count") == 2


@pytest.mark.feature("S2-6")
def test_records_that_are_read_again_change_nothing() -> None:
    store = InMemoryHotStore()
    records = [live_record(offset) for offset in range(5)]
    bench(records, store).run()
    again = bench(records, store)

    again.run()

    assert len(ids(store)) == 5
    assert (again.count("written"), again.count("copy")) == (0, 5)


@pytest.mark.feature("S2-4")
def test_a_commit_that_failed_is_made_again_when_nothing_comes_and_only_for_own_partitions() -> None:
    # Regression: its offset stayed behind until the partition's next record, and the group seemed to stand.
    subject = bench([live_record(0), live_record(7, "other", partition=1), live_record(3, "third", partition=2)])
    subject.source.refused_commits = 2
    looks: list[int] = []

    def look() -> None:
        looks.append(len(subject.source.commits))
        subject.source.partitions = frozenset({0, 2})
        if len(looks) == 4:
            subject.stopping.set()

    subject.source.on_empty = look
    subject.worker.run(subject.stopping)

    assert subject.source.commits == [{0: 1, 1: 8, 2: 4}, {0: 1, 2: 4}, {0: 1, 2: 4}], "and not again once it is made"
    assert subject.source.committed == {0: 1, 2: 4}
    assert subject.metrics.registry.get_sample_value("tidemark_hot_store_commit_failures_total") == 2


class NarrowStore(InMemoryHotStore):
    """No write of more bytes ends in time."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self.most_bytes = most_bytes
        self.writes: list[int] = []

    def write(self, events: Sequence[HotEvent]) -> int:
        self.writes.append(len(events))
        assert len(self.writes) < 100, "tried for ever"
        if sum(len(event.body) for event in events) > self.most_bytes:
            raise StoreUnavailableError("statement timeout")
        return super().write(events)


@pytest.mark.feature("S2-4")
def test_a_batch_of_large_records_is_written_in_parts_and_none_is_done_twice() -> None:
    # Regression: a thousand records of a mebibyte were one write, which no time-out allowed and which was tried for ever.
    store = NarrowStore(PART_BYTES)
    body = b'{"event_type": "click", "user_id": "ada", "platform": "web"' + b" " * (PART_BYTES // 3) + b"}"
    records = [live_record(offset, value=body) for offset in range(7)]
    records += [live_record(7, "e-0", value=body), live_record(8, value=b"{" + b" " * PART_BYTES)]
    subject = bench(records, store)
    subject.letters.available = False
    subject.source.on_hold = lambda: setattr(subject.letters, "available", True)

    subject.run()

    assert store.writes == [2, 2, 2, 2]
    assert ids(store) == [f"e-{number}" for number in range(7)]
    assert subject.source.commits == [{0: 9}]
    assert (subject.count("written"), subject.count("copy"), subject.count("dead_letter")) == (7, 1, 1)
