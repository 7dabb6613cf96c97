"""Two states of a table compared, on plain DuckDB tables."""

from datetime import date

import duckdb
import pytest

from storage.comparison import RowChanges, compare_rows
from storage.tables import TableSpec

SPEC = TableSpec(
    "gold",
    "counts",
    (("key", "varchar"), ("event_date", "date"), ("label", "varchar"), ("value", "bigint")),
    ("key",),
    "event_date",
)
MONDAY, TUESDAY = date(2026, 1, 5), date(2026, 1, 6)
Row = tuple[str | None, date, str | None, int | None]


def compare(old: list[Row], new: list[Row]) -> dict[date, RowChanges]:
    with duckdb.connect() as session:
        for side, rows in (("old_rows", old), ("new_rows", new)):
            columns = ", ".join(f"{name} {kind}" for name, kind in SPEC.columns)
            session.execute(f"create table {side} ({columns})")
            for row in rows:
                session.execute(f"insert into {side} values (?, ?, ?, ?)", row)
        return compare_rows(session, SPEC, "old_rows", "new_rows", "event_date")


def measures(row_count: tuple[int, int], value: tuple[int, int]) -> dict[str, tuple[float, float]]:
    return {"row_count": row_count, "value": value}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([("a", MONDAY, "x", 1)], [("a", MONDAY, "x", 1)], None),
        ([("a", MONDAY, None, None)], [("a", MONDAY, None, None)], None),
        ([(None, MONDAY, "x", 1)], [(None, MONDAY, "x", 1)], None),
        ([], [("a", MONDAY, "x", 1)], RowChanges(1, 0, 0, measures((0, 1), (0, 1)))),
        ([("a", MONDAY, "x", 1)], [], RowChanges(0, 1, 0, measures((1, 0), (1, 0)))),
        ([("a", MONDAY, "x", 1)], [("a", MONDAY, "x", 5)], RowChanges(0, 0, 1, measures((1, 1), (1, 5)))),
        ([("a", MONDAY, None, 1)], [("a", MONDAY, "x", 1)], RowChanges(0, 0, 1, measures((1, 1), (1, 1)))),
        ([("a", MONDAY, "x", 0)], [("a", MONDAY, "x", None)], RowChanges(0, 0, 1, measures((1, 1), (0, 0)))),
        (
            [("a", MONDAY, "x", 1), ("same", MONDAY, "x", 10)],
            [("b", MONDAY, "x", 1), ("same", MONDAY, "x", 10)],
            RowChanges(1, 1, 0, measures((2, 2), (11, 11))),
        ),
    ],
)
def test_rows_are_told_apart_by_key_and_every_value(
    old: list[Row], new: list[Row], expected: RowChanges | None
) -> None:
    assert compare(old, new) == ({} if expected is None else {MONDAY: expected})


def test_a_row_that_moved_to_another_day_is_missing_in_one_and_more_in_the_other() -> None:
    assert compare([("a", MONDAY, "x", 1)], [("a", TUESDAY, "x", 1)]) == {
        MONDAY: RowChanges(0, 1, 0, measures((1, 0), (1, 0))),
        TUESDAY: RowChanges(1, 0, 0, measures((0, 1), (0, 1))),
    }
