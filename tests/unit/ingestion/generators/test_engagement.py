"""The generator: same plan, same bytes; and a ground truth that an independent reading of the stream confirms."""

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from ingestion.contracts.validation import Rejection, Validator
from ingestion.generators import EngagementStream, StreamPlan
from ingestion.generators.malformed import KINDS
from tests.unit.ingestion.builders import NOW


def plan(**overrides: object) -> StreamPlan:
    values = {
        "events": 4000,
        "anchor": NOW,
        "seed": 7,
        "duplicates_ratio": 0.03,
        "malformed_ratio": 0.02,
        "late_ratio": 0.05,
        **overrides,
    }
    return StreamPlan(**values)  # type: ignore[arg-type]  # values are checked by the plan


@pytest.mark.feature("S0-18")
def test_same_seed_and_anchor_give_the_same_bytes() -> None:
    first, second = ([event.raw for event in EngagementStream(plan())] for _ in range(2))
    assert first == second


@pytest.mark.feature("S0-18")
def test_the_bytes_do_not_change_between_versions() -> None:
    import hashlib

    digest = hashlib.sha256(b"\n".join(event.raw for event in EngagementStream(plan()))).hexdigest()
    assert digest == "ee0dfe35c96cf145c63463a7013a502c2826417867bcd036ddff5f5a1aca1dce"


def test_another_anchor_gives_other_event_ids() -> None:
    ids = [
        {event.event_id for event in EngagementStream(plan(anchor=anchor)) if event.kind == "event"}
        for anchor in (NOW, NOW + timedelta(microseconds=1))
    ]
    assert ids[0].isdisjoint(ids[1])


@pytest.mark.feature("S0-18")
def test_the_mix_is_the_one_of_the_contract() -> None:
    """Shares of 18,000 events within 0.015: more than four standard deviations of the widest, view. All contents, most users."""
    stream = EngagementStream(plan(events=20_000))
    events = [json.loads(event.raw) for event in stream if event.kind == "event"]
    types = Counter(event["event_type"] for event in events)
    total = types.total()
    assert {event["content_id"] for event in events} == {f"content_{number:04d}" for number in range(1000)}
    users = {event["user_id"] for event in events}
    assert users <= {f"user_{number:05d}" for number in range(10_000)}
    # 10,000 (1 - e^-1.8) users are expected, 8,347 +- 30.
    assert len(users) == pytest.approx(8_347, abs=150)
    for event_type, share in {"view": 0.40, "like": 0.30, "click": 0.15, "comment": 0.10, "share": 0.05}.items():
        assert types[event_type] / total == pytest.approx(share, abs=0.015)


def test_the_truth_equals_an_independent_reading_of_the_stream() -> None:
    stream = EngagementStream(plan())
    events = list(stream)
    truth = stream.truth()
    unique = {event.event_id: json.loads(event.raw) for event in events if event.kind != "malformed"}
    assert (truth.sent, truth.accepted, truth.rejected, truth.duplicates) == (4000, 3920, 80, 120)
    assert truth.unique_events == len(unique) == 3800
    assert truth.by_type == dict(Counter(event["event_type"] for event in unique.values()))
    assert truth.by_user == dict(Counter(event["user_id"] for event in unique.values()))
    cells = Counter((event["timestamp"][:13], event["event_type"], event["platform"]) for event in unique.values())
    assert {(cell.hour[:13], cell.event_type, cell.platform): cell.event_count for cell in truth.cells} == dict(cells)
    late = [
        event for event in unique.values() if datetime.fromisoformat(event["timestamp"]) < NOW - timedelta(minutes=10)
    ]
    assert truth.late == len(late) > 150
    assert truth.unique_users == len(truth.by_user)
    json.dumps(truth.as_dict())


def test_duplicates_are_exact_copies_of_earlier_lines() -> None:
    seen: set[bytes] = set()
    for event in EngagementStream(plan()):
        assert (event.raw in seen) is (event.kind == "duplicate")
        seen.add(event.raw)


def test_the_contract_agrees_with_the_generator_on_every_line() -> None:
    validator = Validator(NOW + timedelta(seconds=5), date(2015, 1, 1))
    for event in EngagementStream(plan()):
        assert isinstance(validator.judge(event.raw), Rejection) is (event.kind == "malformed"), event.raw


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_malformed_kind_is_one_line_and_rejected(kind: str) -> None:
    fields = json.loads(
        next(iter(EngagementStream(plan(events=1, late_ratio=0, duplicates_ratio=0, malformed_ratio=0)))).raw
    )
    raw = KINDS[kind](fields, NOW)
    assert b"\n" not in raw
    assert isinstance(Validator(NOW, date(2015, 1, 1)).judge(raw), Rejection)


def test_a_paced_stream_never_runs_ahead_of_its_own_time() -> None:
    for index, event in enumerate(EngagementStream(plan(rate=100.0, malformed_ratio=0, duplicates_ratio=0))):
        occurred_at = datetime.fromisoformat(json.loads(event.raw)["timestamp"])
        assert occurred_at <= NOW + timedelta(seconds=index / 100.0)


@pytest.mark.parametrize(
    "bad", [{"events": -1}, {"late_ratio": 0.99}, {"malformed_ratio": -0.1}, {"anchor": datetime(2026, 1, 1)}]
)
def test_plans_that_cannot_be_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        plan(**bad)


def test_a_stream_of_copies_only_still_begins_with_an_event() -> None:
    stream = EngagementStream(StreamPlan(10, datetime(2026, 1, 1, tzinfo=UTC), duplicates_ratio=1.0))
    assert [event.kind for event in stream] == ["event"] + ["duplicate"] * 9
