"""Sketches merge without counting a user twice, and the bound of a comparison is wide enough for them and no wider."""

import pytest
from datasketches import hll_sketch, tgt_hll_type

from storage.live.sketches import estimate_users, is_within_bound


def sketch(first: int, last: int) -> bytes:
    made = hll_sketch(12, tgt_hll_type.HLL_8)
    for user in range(first, last):
        made.update(f"user-{user}")
    return bytes(made.serialize_updatable())


@pytest.mark.feature("S0-12")
@pytest.mark.parametrize("count", [1, 10, 300, 5_000, 100_000])
def test_a_union_counts_users_of_several_minutes_once(count: int) -> None:
    users = estimate_users([sketch(0, count), sketch(0, count), sketch(count // 2, count)])
    assert is_within_bound(users.estimate, count)
    assert users.lower <= users.estimate <= users.upper
    if count <= 300:
        assert users.estimate == count


def test_the_bound_refuses_what_no_sketch_would_say() -> None:
    assert is_within_bound(10_000, 10_400)
    assert not is_within_bound(10_000, 11_000)
    assert not is_within_bound(3, 5)
    assert estimate_users([]).estimate == 0
