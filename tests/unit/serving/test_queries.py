"""Ranks, percentages and the registry."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.queries import QUERIES, SQL_DIR, USER_COUNTS, WINDOWS, dense_ranks, percentages, read_sql


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=8))
def test_percentages_add_up_to_a_hundred_and_stay_within_a_hundredth_of_the_truth(counts: list[int]) -> None:
    shares = percentages(counts)
    assert sum(round(share * 100) for share in shares) == 10_000
    for count, share in zip(counts, shares, strict=True):
        assert abs(share - 100 * count / sum(counts)) <= 0.01 + 1e-9


def test_three_equal_counts_share_the_missing_hundredth_by_order() -> None:
    assert percentages([1, 1, 1]) == [33.34, 33.33, 33.33]


def test_no_events_have_no_shares() -> None:
    assert percentages([]) == []
    assert percentages([0]) == [0.0]


@pytest.mark.feature("S0-15")
@pytest.mark.parametrize(
    ("totals", "ranks"), [([], []), ([5], [1]), ([9, 9, 7, 7, 7, 1], [1, 1, 2, 2, 2, 3]), ([3, 2, 1], [1, 2, 3])]
)
def test_equal_totals_share_a_dense_rank(totals: list[int], ranks: list[int]) -> None:
    assert dense_ranks(totals) == ranks


def test_every_sql_file_is_used_and_binds_all_values() -> None:
    used = {USER_COUNTS, "probe", "users", "top_users", "top_users_by_platform", "event_distribution", "platforms"}
    used |= {name for name, _ in WINDOWS.values()}
    assert {path.stem for path in SQL_DIR.glob("*.sql")} == used
    for name in used:
        assert not re.search(r"\{|%s|\?", read_sql(name)), f"{name}.sql has a placeholder that is not a named value"


def test_every_list_is_ordered_in_sql() -> None:
    for path in SQL_DIR.glob("*.sql"):
        if path.stem not in (USER_COUNTS, "probe"):
            assert "order by" in path.read_text()


def test_query_names_are_the_paths_of_the_contract() -> None:
    assert [query.name for query in QUERIES] == ["events", "users", "top-users", "event-distribution", "platforms"]
