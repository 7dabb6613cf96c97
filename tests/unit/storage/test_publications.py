"""What a publication's commit message says must read back as it was written."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from storage.publications import Publication, compress_hours, decode, encode, expand_hours

T0 = datetime(2015, 1, 1, tzinfo=UTC)


@given(st.lists(st.integers(0, 2000), unique=True))
def test_hours_survive_compression(offsets: list[int]) -> None:
    hours = tuple(sorted(T0 + timedelta(hours=offset) for offset in offsets))
    assert expand_hours(compress_hours(hours)) == hours


def test_a_year_of_hours_is_one_range() -> None:
    assert compress_hours(T0 + timedelta(hours=index) for index in range(8760)) == [
        ["2015-01-01T00:00:00+00:00", "2016-01-01T00:00:00+00:00"]
    ]


def test_a_publication_reads_back_as_written() -> None:
    written = Publication(
        7, 12, "late", (T0,), "run", 6, 40, {"t": {"0": 9}}, "abc", T0, {"gold.x": {"added": 1, "removed": 2}}
    )
    assert decode(12, encode(written)) == written
