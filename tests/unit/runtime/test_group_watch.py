"""What a member tells of its whole group: a partition that nobody reads is seen, and one that gets on is not."""

from datetime import UTC, datetime, timedelta

import pytest
from kafka.errors import KafkaConnectionError

from runtime.group_watch import GroupWatch, Positions

START = datetime(2024, 1, 1, tzinfo=UTC)


class Bench:
    def __init__(self) -> None:
        self.now = START
        self.positions: Positions | None = {}
        self.watch = GroupWatch("t", self._read, lambda: self.now)

    def _read(self) -> Positions:
        if self.positions is None:
            raise KafkaConnectionError
        return self.positions

    def look(self, minute: int, positions: Positions | None) -> tuple[dict[str, int] | None, str | None]:
        """The lag, and since when records wait."""
        self.now, self.positions = START + timedelta(minutes=minute), positions
        self.watch.look()
        details = self.watch.details()
        return details["lag"], details["waits_since"]


@pytest.mark.feature("S1-F4")
@pytest.mark.feature("S2-16")
def test_a_partition_that_nobody_reads_is_told_while_others_get_on() -> None:
    # Regression: a worker without a partition beat as before, and its lag was that of no partition: none.
    bench = Bench()
    assert bench.watch.details() == {"lag": None, "waits_since": None, "standing": {}}
    assert bench.look(0, {0: (5, 5), 1: (7, 7)}) == ({"t": 0}, None)
    assert bench.look(1, {0: (5, 8), 1: (7, 9)}) == ({"t": 5}, "2024-01-01T00:01:00+00:00")
    assert bench.look(2, {0: (8, 9), 1: (7, 10)}) == ({"t": 4}, "2024-01-01T00:01:00+00:00"), "1 has not moved"
    assert bench.look(3, {0: (9, 12), 1: (8, 10)}) == ({"t": 5}, "2024-01-01T00:03:00+00:00"), "both have"
    assert bench.look(4, {0: (12, 12), 1: (10, 10)}) == ({"t": 0}, None)


@pytest.mark.feature("S1-F4")
def test_while_the_broker_does_not_answer_the_lag_is_unknown_and_nothing_waits() -> None:
    bench = Bench()
    bench.look(0, {0: (5, 8)})
    assert bench.look(9, None) == (None, None)
    assert bench.look(10, {0: (5, 8)}) == ({"t": 3}, "2024-01-01T00:10:00+00:00")


@pytest.mark.feature("S1-F4")
def test_a_member_that_is_started_again_and_again_gets_on_no_more_than_one_that_hangs() -> None:
    # Regression: each process began to count anew, so that one which ended within two minutes raised no alert.
    first, second = Bench(), Bench()
    first.look(0, {0: (5, 8), 1: (7, 9)})
    second.watch.remember(first.watch.details())
    assert second.look(5, {0: (5, 9), 1: (8, 9)}) == ({"t": 5}, "2024-01-01T00:00:00+00:00")
    second.watch.remember({"state": "running"})
    assert second.look(6, {0: (9, 9), 1: (9, 9)}) == ({"t": 0}, None)
