"""Distinct users from the HLL sketches that Spark writes, in DataSketches' own format. Estimates; exact numbers are gold's."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasketches import hll_sketch

LG_K = 12
RELATIVE_STANDARD_ERROR = 1.04 / sqrt(2**LG_K)
# Comparisons look at hundreds of cells an hour: at three standard errors one of them would be red for nothing every few hours.
BOUND_STANDARD_ERRORS = 5


@dataclass(frozen=True)
class UserEstimate:
    """About how many distinct users, and between which numbers with a probability of 95 % (two standard errors)."""

    estimate: int
    lower: int
    upper: int


def merge(sketches: Iterable[bytes]) -> "hll_sketch":
    """The union of serialised sketches: users that are in several count once."""
    # Not at the top: it brings numpy, which starts threads; the fork server imports this module and would not start.
    from datasketches import hll_sketch, hll_union, tgt_hll_type

    union = hll_union(LG_K)
    for sketch in sketches:
        union.update(hll_sketch.deserialize(bytes(sketch)))
    return union.get_result(tgt_hll_type.HLL_8)


def estimate_users(sketches: Iterable[bytes]) -> UserEstimate:
    """Distinct users over all of these sketches together."""
    merged = merge(sketches)
    return UserEstimate(
        round(merged.get_estimate()), round(merged.get_lower_bound(2)), round(merged.get_upper_bound(2))
    )


def is_within_bound(estimate: float, true_count: int) -> bool:
    """Whether an estimate is as near to the truth as a sketch promises."""
    return abs(estimate - true_count) <= max(1.0, BOUND_STANDARD_ERRORS * RELATIVE_STANDARD_ERROR * true_count)
