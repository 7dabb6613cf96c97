"""The JSON beside a commit survives the round trip; stamps grow; landed offsets never go back."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.commit_metadata import (
    CommitMetadata,
    format_instant,
    merge_landed,
    next_stamp,
    parse_commit_metadata,
)

INSTANT = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)


def test_metadata_reads_back_as_written() -> None:
    metadata = CommitMetadata("live", 7, INSTANT, {"events.raw.v1": {0: 5, 10: 2}}, {"events.raw.v1": "id"})

    assert parse_commit_metadata(metadata.to_json()) == metadata
    assert '"ingested_at":"2024-05-06T07:08:09.123456Z"' in metadata.to_json()


@pytest.mark.parametrize(
    "text", [None, "", "by hand", "[]", "{}", '{"query":"live"}', "null", '{"query":1,"offsets":[]}']
)
def test_what_a_foreign_tool_wrote_is_no_metadata(text: str | None) -> None:
    assert parse_commit_metadata(text) is None


def test_landed_offsets_leave_empty_partitions_out() -> None:
    assert merge_landed({}, {"t": {0: 0, 1: 3}, "empty": {0: 0}}) == {"t": {1: 2}}


def test_landed_offsets_keep_other_topics_and_never_go_back() -> None:
    assert merge_landed({"t": {0: 9}, "u": {0: 1}}, {"t": {0: 5, 1: 1}}) == {"t": {0: 9, 1: 0}, "u": {0: 1}}


@given(st.lists(st.integers(min_value=-1000, max_value=1000), min_size=1))
def test_stamps_grow_strictly_whatever_the_clock_does(steps: list[int]) -> None:
    now, last = INSTANT, None
    for step in steps:
        now += timedelta(milliseconds=step)
        stamp = next_stamp(now, last)
        assert last is None or stamp > last
        assert stamp >= now
        last = stamp


def test_instants_are_written_in_utc_with_six_digits() -> None:
    assert format_instant(datetime(2015, 1, 1, tzinfo=UTC)) == "2015-01-01T00:00:00.000000Z"
