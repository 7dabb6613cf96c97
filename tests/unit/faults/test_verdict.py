"""The fault harness can say no: each kind of wrong is found, and named."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from runtime.crash_points import CrashPoint
from tests.e2e.stack import CommandError, Stack, wait_until
from tests.faults.nemesis import KILLED, PAUSED, Fault, make_schedule
from tests.faults.poison import PoisonProducer
from tests.faults.producer import Mix, VerifiableProducer
from tests.faults.reader import ConcurrentReader
from tests.faults.verdict import Cell, Comparison, Verdict, compare, compare_api, find_wrong

HOUR = datetime(2026, 1, 5, 12, tzinfo=UTC)
INTENTS = [
    {
        "event_id": f"e{number}",
        "event_type": "like",
        "platform": "web",
        "user_id": user,
        "timestamp": f"{HOUR:%Y-%m-%dT%H}:10:00Z",
    }
    for number, user in enumerate(("ada", "ada", "bob"))
]
CELL: Cell = (HOUR, "like", "web")


def found(
    published: dict[str, int], gold: tuple[int, int] | None, acknowledged: tuple[str, ...] = ("e0", "e1")
) -> Comparison:
    return compare(INTENTS, acknowledged, published, {} if gold is None else {CELL: gold})


def test_all_is_well_with_and_without_the_unacknowledged_event() -> None:
    assert found({"e0": 1, "e1": 1}, (2, 1)) == Comparison([], [], [], [])
    assert found({"e0": 1, "e1": 1, "e2": 1}, (3, 2)) == Comparison([], [], [], [])


@pytest.mark.parametrize(
    ("published", "gold", "expected"),
    [
        ({"e0": 1}, (1, 1), Comparison(["e1"], [], [], [])),
        ({"e0": 2, "e1": 1}, (2, 1), Comparison([], ["e0"], [], [])),
        ({"e0": 1, "e1": 1, "x": 1}, (2, 1), Comparison([], [], ["x"], [])),
    ],
)
def test_lost_double_and_invented_are_told_apart(
    published: dict[str, int], gold: tuple[int, int], expected: Comparison
) -> None:
    assert found(published, gold) == expected


@pytest.mark.parametrize("gold", [(3, 1), (2, 2), None])
def test_a_wrong_cell_of_gold_is_named(gold: tuple[int, int] | None) -> None:
    (wrong,) = found({"e0": 1, "e1": 1}, gold).wrong_cells
    assert wrong == f"2026-01-05T12Z like web: gold has {gold}, the journal says (2, 1)"


def test_a_cell_that_nobody_sent_is_wrong() -> None:
    assert compare([], [], {}, {CELL: (1, 1)}).wrong_cells


def reader() -> ConcurrentReader:
    return ConcurrentReader("http://127.0.0.1:1", "key")


def metrics(count: int) -> list[dict[str, Any]]:
    return [{"window_start": "w", "event_type": "like", "platform": "web", "event_count": count, "unique_users": 1}]


def test_a_publication_that_goes_back_or_changes_is_a_contradiction() -> None:
    sound = reader()
    for publication, asked in ((1, None), (2, None), (1, 1), (2, None)):
        sound.note(publication, metrics(publication), asked)
    assert sound.readings.contradictions == []
    assert sound.readings.totals.keys() == {1, 2}

    back = reader()
    back.note(2, metrics(2), None)
    back.note(1, metrics(1), None)
    assert back.readings.contradictions == ["publication 1 after 2"]

    changed = reader()
    changed.note(1, metrics(1), None)
    changed.note(1, metrics(2), 1)
    assert len(changed.readings.contradictions) == 1

    other = reader()
    other.note(2, metrics(1), 1)
    assert other.readings.contradictions == ["publication 1 was asked for, 2 answered"]


def test_nothing_published_after_something_was_is_a_contradiction() -> None:
    back = reader()
    back.note(2, metrics(2), None)
    back.note(-1, [], None)
    assert back.readings.contradictions == ["publication -1 after 2"]


def test_a_client_that_died_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyError("publication")

    dead = reader()
    monkeypatch.setattr(dead, "_look", die)
    dead.start()
    wait_until(lambda: not dead._thread.is_alive(), 20, "its death")
    with pytest.raises(AssertionError, match="reader died: KeyError"):
        dead.finish()
    poison = PoisonProducer("127.0.0.1:1", 100.0)
    monkeypatch.setattr(poison, "_send", die)
    poison.start()
    with pytest.raises(AssertionError, match="poison died: KeyError"):
        poison.finish()


def test_a_flood_that_is_not_answered_in_time_is_told(tmp_path: Path) -> None:
    producer = VerifiableProducer("http://127.0.0.1:1", None, tmp_path, seed=1, mix=Mix(0, limit=10))
    producer.start()
    with pytest.raises(AssertionError, match="0 of 10 events were answered"):
        producer.wait(0.5)
    with pytest.raises(AssertionError, match="unanswered"):
        producer.finish(0.1)


class FakeStack:
    """A stack whose commands and API say what a test says."""

    def __init__(self, told: Any) -> None:
        self.told = told

    def run(self, *_: str, **__: Any) -> Any:
        if isinstance(self.told, Exception):
            raise self.told
        return self.told

    def get(self, *_: str, **__: Any) -> Any:
        return {"metrics": self.told}


def test_what_a_checking_command_says_is_wrong() -> None:
    def must_be(told: dict[str, Any]) -> dict[str, bool]:
        return {"it looked": told["count"] > 0}

    stacks = [FakeStack(told) for told in ({"count": 1}, {"count": 0}, CommandError("verify ended with 1"))]
    found = [find_wrong(cast("Stack", stack), "verify", must_be=must_be) for stack in stacks]
    assert found == [[], ['not so: it looked; {"count": 0}'], ["verify ended with 1"]]


@pytest.mark.parametrize("answered", [(2, 1), (1, 1), None])
def test_a_day_that_the_api_answers_otherwise_is_named(answered: tuple[int, int] | None) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    row = {"window_start": today.isoformat(), "event_type": "like", "platform": "web"}
    rows = [] if answered is None else [{**row, "event_count": answered[0], "unique_users": answered[1]}]
    long_ago = datetime(2016, 1, 1, tzinfo=UTC)
    days = {(today, "like", "web"): (2, 1), (long_ago, "like", "web"): (5, 5)}
    wrong = compare_api(cast("Stack", FakeStack(rows)), days)
    expected = [f"{today:%Y-%m-%d} like web: the API says {answered}, the journal (2, 1)"]
    assert wrong == ([] if answered == (2, 1) else expected)


KINDS = (
    *("lost", "double", "invented", "wrong_cells", "checker"),
    *("hot_store", "live_windows", "api_cells", "contradictions"),
)


def make_verdict(**found: Any) -> Verdict:
    """One that is ok, but for what is given."""
    counts = dict.fromkeys(("sent", "acknowledged", "published", "answers_read", "looked_back"), 1)
    counts |= dict.fromkeys(("seed", "unanswered", "live_hours_compared"), 0) | {"publications_read": 2}
    fields = {"code_version": "", "downloads": (3, 3, 3), **counts, **{kind: [] for kind in KINDS}}
    return Verdict(**{**fields, **found})


def test_a_verdict_over_nothing_is_not_ok() -> None:
    assert make_verdict().ok
    assert not make_verdict(acknowledged=0).ok
    for kind in KINDS:
        assert not make_verdict(**{kind: ["x"]}).ok
    assert not make_verdict(downloads=(2, 1, 1)).ok
    assert not make_verdict(downloads=(2, 3, 2)).ok
    assert not make_verdict(downloads=(0, 0, 0)).ok
    for count in ("answers_read", "looked_back", "publications_read"):
        assert not make_verdict(**{count: 0}).ok
    assert not make_verdict(problem="not drained").ok


def test_only_what_was_killed_must_be_back_in_time() -> None:
    faults = [{"kind": "kill", "recovery_seconds": 3.0}, {"kind": "pause", "recovery_seconds": 70.0}]
    assert make_verdict(faults=faults).slowest_return_seconds == 3.0
    assert make_verdict(faults=faults).slowest_recovery_seconds == 70.0
    assert make_verdict().slowest_return_seconds == 0.0


def test_a_schedule_follows_from_its_seed_and_leaves_nothing_out() -> None:
    schedule = make_schedule(7, 3)
    assert schedule == make_schedule(7, 3) != make_schedule(8, 3)
    for target in KILLED:
        assert schedule.count(Fault("kill", target)) == 3
    once = [Fault("pause", target) for target in PAUSED] + [Fault("crash", point.value) for point in CrashPoint]
    assert [schedule.count(fault) for fault in once] == [1] * len(once)
    assert len(schedule) == 3 * len(KILLED) + len(once)
