"""Ranges of offsets as people write them."""

import pytest

from streaming.errors import ConfigurationError
from streaming.replay import OffsetRange, parse_offset_range


def test_a_range_is_read_and_written_alike() -> None:
    found = parse_offset_range("events.raw.v1/3:100-200")
    assert found == OffsetRange("events.raw.v1", 3, 100, 200)
    assert str(found) == "events.raw.v1/3:100-200"


@pytest.mark.parametrize(
    "text", ["events.raw.v1:100-200", "events.raw.v1/0:200-100", "a/0:5-5", "a/0:-1-5", "a b/0:1-2", ""]
)
def test_anything_else_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(ConfigurationError, match="TOPIC/PARTITION:FIRST-END"):
        parse_offset_range(text)
