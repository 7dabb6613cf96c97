"""What all streams share, apart from any family."""

import os
import subprocess
import sys

import pytest

from ingestion.generators.stream import lines_for
from tests.unit.ingestion.generators.families import DIGESTS


@pytest.mark.feature("S1-16", "S4-1", "S3-2", "S0-18")
def test_hash_seed_time_zone_and_locale_change_nothing() -> None:
    argv = [sys.executable, "-m", "tests.unit.ingestion.generators.families"]
    environments = (
        {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "4711", "TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8"},
    )
    outputs = [subprocess.check_output(argv, env={**os.environ, **each}, text=True) for each in environments]
    assert outputs[0] == outputs[1]
    assert dict(line.split() for line in outputs[0].splitlines()) == DIGESTS


@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.03, 0.02), (0.5, 0.3), (0.1, 0.8)])
def test_a_finite_source_fits_its_lines_exactly(shares: tuple[float, float]) -> None:
    for count in (1, 7, 1000, 99_999):
        lines = lines_for(count, *shares)
        assert lines - sum(round(lines * share) for share in shares) == count


def test_copies_alone_leave_no_room() -> None:
    with pytest.raises(ValueError, match="room"):
        lines_for(10, 0.6, 0.4)
