"""What every family's stream promises: the same bytes everywhere, lines that the contracts judge as labelled, a true ground truth."""

import json
import tracemalloc
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from ingestion.contracts.families import Family, detect_family, only
from ingestion.contracts.validation import Rejection, Validator, ValidEvent
from ingestion.generators import StreamPlan
from ingestion.generators.mixed import MixedStream
from ingestion.generators.stream import SeededStream
from ingestion.generators.truth import TruthRecorder
from tests.unit.ingestion.generators.families import ANCHOR, DIGESTS, MAKERS, digest, stream_of

pytestmark = pytest.mark.parametrize("family", list(MAKERS))


def occurred_at(event: dict[str, Any]) -> datetime:
    value = next(event[name] for name in ("timestamp", "event_ts", "event_time") if name in event)
    return datetime.fromisoformat(value) if isinstance(value, str) else datetime.fromtimestamp(value / 1000, UTC)


@pytest.mark.feature("S1-16", "S4-1", "S3-2", "S0-18")
def test_the_bytes_do_not_change_between_versions(family: str) -> None:
    assert digest(stream_of(family)) == DIGESTS[family]


def test_another_seed_or_anchor_is_another_stream(family: str) -> None:
    ids = [
        {event.event_id for event in stream_of(family, **change) if event.kind == "event"}
        for change in ({}, {"seed": 12}, {"anchor": ANCHOR + timedelta(microseconds=1)})
    ]
    assert ids[0].isdisjoint(ids[1])
    assert ids[0].isdisjoint(ids[2])


@pytest.mark.parametrize("is_mixed", [False, True])
def test_the_contract_agrees_with_the_label_of_every_line(family: str, is_mixed: bool) -> None:
    validator = Validator(ANCHOR + timedelta(seconds=5), date(2015, 1, 1))
    rule = detect_family if is_mixed else only(Family(family))
    for event in stream_of(family):
        verdict = validator.judge(event.raw, rule)
        assert isinstance(verdict, Rejection) is (event.kind == "malformed"), (verdict, event.raw)
        if isinstance(verdict, ValidEvent):
            assert verdict.contract == f"{family}/1"
            assert verdict.event_id == event.event_id
        assert b"\n" not in event.raw


def test_every_kind_of_malformed_line_comes_and_is_counted(family: str) -> None:
    stream = stream_of(family, malformed_ratio=0.5)
    count = sum(event.kind == "malformed" for event in stream)
    truth = stream.truth()
    assert (truth.rejected, sum(truth.rejected_by_kind.values())) == (count, count)
    assert set(truth.rejected_by_kind) == set(stream._source.spoilers)


def test_copies_are_exact_and_ids_are_unique(family: str) -> None:
    seen: dict[str | None, bytes] = {}
    for event in stream_of(family):
        if event.kind == "duplicate":
            assert seen[event.event_id] == event.raw
        elif event.kind == "event":
            assert event.event_id not in seen
            seen[event.event_id] = event.raw


def test_the_common_truth_equals_an_independent_reading(family: str) -> None:
    stream = stream_of(family)
    events = list(stream)
    truth = stream.truth()
    unique = {event.event_id: json.loads(event.raw) for event in events if event.kind != "malformed"}
    kinds = Counter(event.kind for event in events)
    assert (
        (truth.sent, truth.rejected, truth.duplicates)
        == (1500, kinds["malformed"], kinds["duplicate"])
        == (1500, 75, 60)
    )
    assert truth.unique_events == len(unique) == 1365
    assert truth.by_type == dict(Counter(event.get("event_type", "download") for event in unique.values()))
    assert truth.by_hour == dict(
        sorted(Counter(occurred_at(event).strftime("%Y-%m-%dT%H:00:00Z") for event in unique.values()).items())
    )
    users = Counter(event.get("user_id") or event["author"] for event in unique.values())
    assert truth.by_user == dict(sorted(users.items()))
    late = [event for event in unique.values() if occurred_at(event) < ANCHOR - timedelta(minutes=10)]
    assert truth.late == len(late) > 0
    json.dumps(truth.as_dict())


def test_a_paced_stream_never_runs_ahead_of_its_own_time(family: str) -> None:
    stream = stream_of(family, rate=100.0, duplicates_ratio=0, malformed_ratio=0)
    for index, event in enumerate(stream):
        assert occurred_at(json.loads(event.raw)) <= ANCHOR + timedelta(seconds=index / 100.0)


def test_memory_does_not_grow_with_the_stream_but_for_its_truth(family: str) -> None:
    class Forgetful(TruthRecorder):
        def note_event(self, *_: object) -> None:
            """Counts nothing."""

    def peak_of(events: int) -> int:
        plan = StreamPlan(events, ANCHOR, 3, duplicates_ratio=0.05, malformed_ratio=0.05)
        source = MAKERS[family](plan)._source
        stream = SeededStream(plan, source, recorder=Forgetful())
        tracemalloc.start()
        for _ in stream:
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    # The lines that may be copied, 2,000 at most, are remembered: both streams have more.
    assert peak_of(2_500) * 1.35 > peak_of(5_000)


def test_mixing_keeps_each_stream_as_it_is(family: str) -> None:
    mixed = MixedStream({name: stream_of(name, events=200) for name in MAKERS})
    mine = [event.raw for event in mixed if event.family == family]
    assert mine == [event.raw for event in stream_of(family, events=200)]
    assert mixed.truth().families[family].sent == 200
    assert mixed.truth().accepted == sum(truth.accepted for truth in mixed.truth().families.values())
