"""The chain of publications, and which of the kept ones are opened."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from storage.publications import Publication
from storage.verification.publication_order import ChainLink, check_chain, sample

pytestmark = pytest.mark.feature("K10")


def link(number: int, **changes: Any) -> ChainLink:
    base = None if number == 1 else number - 1
    good = ChainLink(number, base, number * 10, {"t": {"0": number}})
    return dataclasses.replace(good, **changes)


def kept(publication_id: int, snapshot_id: int) -> Publication:
    row = link(publication_id)
    return Publication(
        publication_id=publication_id,
        snapshot_id=snapshot_id,
        cause="arrival",
        hours=(),
        run_id="r",
        base_publication_id=row.base_publication_id,
        bronze_version=row.bronze_version,
        highest_offsets={},
        code_version="",
        published_at=datetime(2026, 1, 1, tzinfo=UTC),
        changes={},
    )


def test_a_chain_that_grows_is_good() -> None:
    assert check_chain([link(1), link(2), link(3)], [kept(1, 5), kept(3, 9)]).check().ok


@pytest.mark.parametrize(
    ("changes", "offence"),
    [
        ({"base_publication_id": 1}, "publication 3: is based on 1, not on 2"),
        ({"publication_id": 2, "base_publication_id": 2}, "publication 2: its id is used twice"),
        ({"bronze_version": 19}, "publication 3: read bronze 19 after 20"),
        ({"highest_offsets": {"t": {"0": 1}}}, "publication 3: t/0 went back from offset 2 to 1"),
        ({"highest_offsets": {}}, "publication 3: t/0 went back from offset 2 to -1"),
    ],
)
def test_a_step_back_is_named(changes: dict[str, Any], offence: str) -> None:
    assert check_chain([link(1), link(2), link(3, **changes)], []).check().offending == (offence,)


def test_snapshots_must_grow_with_the_ids() -> None:
    check = check_chain([link(1), link(2)], [kept(2, 5), kept(1, 6)]).check()
    assert check.offending == ("publication 2: snapshot 5 is not after 6",)


def test_a_snapshot_without_its_row_is_named() -> None:
    check = check_chain([link(1)], [kept(1, 5), kept(2, 6)]).check()
    assert check.offending == ("publication 2 has a snapshot and no row in operations.publications",)


def test_a_sample_holds_the_newest_and_spreads_over_the_rest() -> None:
    items = [kept(number, number) for number in range(1, 1001)]
    chosen = [item.publication_id for item in sample(items, 30)]
    assert chosen[-10:] == list(range(991, 1001))
    assert len(chosen) == len(set(chosen)) == 30
    assert chosen[0] == 1
    assert sample(items[:5], 30) == items[:5]
