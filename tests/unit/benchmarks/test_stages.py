"""How far a stage is behind: what closes a mark, and when a lag grows."""

from benchmarks.stages import Marks


def marks(*pending: tuple[float, dict[int, int]]) -> Marks:
    return Marks(list(pending))


def test_a_mark_is_covered_when_every_partition_is_there() -> None:
    found = marks((1.0, {0: 10, 1: 5}), (2.0, {0: 12, 1: 5}))
    found.cover({0: 9}, 3.0)
    assert found.lags == []
    found.cover({0: 9, 1: 4}, 4.0)
    assert found.lags == [3.0]
    found.cover({0: 11, 1: 4}, 6.0)
    assert found.lags == [3.0, 4.0]
    assert not found.pending


def test_an_empty_partition_is_nothing_to_wait_for() -> None:
    found = marks((1.0, {0: 10, 1: 0}))
    found.cover({0: 9}, 2.0)
    assert found.lags == [1.0]


def test_growth_is_the_second_halfs_mean_less_the_firsts() -> None:
    assert Marks(lags=[1.0, 2.0, 4.0, 5.0]).growth() == 3.0
    assert Marks(lags=[7.0]).growth() == 0.0
    assert Marks().growth() == 0.0


def test_percentiles_of_few_lags() -> None:
    assert Marks().percentile_95() == 0.0
    assert Marks(lags=[2.0]).percentile_95() == 2.0
    assert Marks(lags=[float(number) for number in range(1, 101)]).percentile_95() > 95
