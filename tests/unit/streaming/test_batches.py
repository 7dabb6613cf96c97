"""Which batches bronze holds already: by the offsets of its newest commit alone."""

import pytest

from streaming.commit_metadata import Offsets
from streaming.errors import LandingFailedError
from streaming.writers import has_landed

T = "events.raw.v1"


@pytest.mark.parametrize(
    ("begins", "ends", "landed", "expected"),
    [
        pytest.param({T: {0: 5, 1: 3}}, {T: {0: 9, 1: 3}}, {T: {0: 4, 1: 2}}, False, id="goes on where bronze ends"),
        pytest.param({T: {0: 5, 1: 3}}, {T: {0: 9, 1: 3}}, {T: {0: 8, 1: 2}}, True, id="comes again after its commit"),
        pytest.param({T: {0: 0}}, {T: {0: 4}}, {}, False, id="the first records of a topic"),
        pytest.param({T: {0: 4}}, {T: {0: 6, 1: 2}}, {T: {0: 3}}, False, id="a partition that is new"),
        pytest.param({T: {0: 4}}, {T: {0: 6, 1: 2}}, {T: {0: 5, 1: 1}}, True, id="a partition that was new"),
        pytest.param(None, {T: {0: 4, 1: 0}}, {}, False, id="a first batch"),
        pytest.param(None, {T: {0: 4, 1: 2}}, {T: {0: 3, 1: 1}}, True, id="a first batch that comes again"),
        pytest.param(None, {T: {0: 9, 1: 2}}, {T: {0: 3, 1: 1}}, False, id="a first batch behind what has landed"),
    ],
)
def test_a_batch_is_known_by_its_offsets(
    begins: Offsets | None, ends: Offsets, landed: Offsets, expected: bool
) -> None:
    assert has_landed(begins, ends, landed) is expected


@pytest.mark.parametrize(
    ("begins", "landed", "message"),
    [
        pytest.param({T: {0: 5}}, {T: {0: 2}}, "goes on at events.raw.v1/0/5, but bronze at 3", id="a gap"),
        pytest.param({T: {0: 5}}, {T: {0: 6}}, "goes on at events.raw.v1/0/5, but bronze at 7", id="half of it landed"),
        pytest.param({T: {0: 5, 1: 0}}, {T: {0: 9}}, "of events.raw.v1/0, but not of events.raw.v1/1", id="one of two"),
    ],
)
def test_a_batch_that_fits_nowhere_is_refused(begins: Offsets, landed: Offsets, message: str) -> None:
    ends = {T: dict.fromkeys(begins[T], 10)}
    with pytest.raises(LandingFailedError, match=message):
        has_landed(begins, ends, landed)
