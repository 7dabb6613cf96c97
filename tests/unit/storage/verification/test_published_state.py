"""Days are taken together up to a number of rows, and never cut."""

from datetime import date

import pytest

from storage.verification.published_state import steps

DAYS = [date(2026, 1, day) for day in range(1, 6)]


@pytest.mark.feature("K10")
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], []),
        ([1, 1, 1, 1, 1], [(0, 4)]),
        ([4, 4, 4, 4, 4], [(0, 1), (2, 3), (4, 4)]),
        ([99, 1, 1, 99, 1], [(0, 0), (1, 2), (3, 3), (4, 4)]),
        ([0, 0, 10, 0, 0], [(0, 4)]),
    ],
)
def test_steps(rows: list[int], expected: list[tuple[int, int]]) -> None:
    counts = list(zip(DAYS, rows, strict=False))
    assert list(steps(counts, 10)) == [(DAYS[first], DAYS[last]) for first, last in expected]
