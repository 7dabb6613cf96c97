"""Whose turn it is in the pool of builds: pure, so tested without Dagster."""

import pytest

from platform_assets.turns import PATIENCE_SECONDS, Turn, who_is_due

LONG, SHORT = PATIENCE_SECONDS + 1, 5.0
ARRIVALS, LATE, REPLAY = 10, 5, -5


def began(priority: int, at: float, waited: float = SHORT) -> Turn:
    return Turn(f"began-{at:.0f}", priority, waited, at)


def waits(priority: int, waited: float) -> Turn:
    return Turn(f"waits-{priority}", priority, waited, None)


def test_what_has_waited_too_long_behind_a_lane_goes_first() -> None:
    # Regression: two lanes that asked again as soon as they had published took every turn; a replay, and retention, never began.
    turns = [began(ARRIVALS, 1.0), waits(REPLAY, LONG), waits(LATE, SHORT)]
    for lane in (ARRIVALS, LATE):
        due = who_is_due(turns, lane)
        assert due is not None
        assert due.run_id == "waits--5"


@pytest.mark.parametrize(
    "turns",
    [
        [],
        [began(ARRIVALS, 1.0), waits(REPLAY, SHORT)],
        [began(ARRIVALS, 1.0), waits(ARRIVALS, LONG)],
        # One that had waited has just had its turn: now it is the lane's, however many more wait.
        [began(ARRIVALS, 1.0), began(REPLAY, 2.0, waited=LONG), waits(REPLAY, 9 * LONG)],
    ],
)
def test_otherwise_a_lane_asks(turns: list[Turn]) -> None:
    assert who_is_due(turns, ARRIVALS) is None


def test_a_lane_that_has_had_its_turn_lets_the_next_one_go() -> None:
    turns = [began(REPLAY, 2.0, waited=LONG), began(ARRIVALS, 3.0), waits(REPLAY, LONG), waits(LATE, 2 * LONG)]
    due = who_is_due(turns, ARRIVALS)
    assert due is not None
    assert due.priority == LATE
