"""The difference between a build and what is published, on plain DuckDB tables."""

from collections.abc import Iterator

import duckdb
import pytest

from storage.difference import Difference, DifferenceError
from storage.promotion import apply_difference
from storage.tables import TableSpec

SPEC = TableSpec(
    "gold",
    "counts",
    (("event_date", "date"), ("event_hour", "timestamptz"), ("key", "integer"), ("value", "integer")),
    ("key",),
    "event_hour",
)
DAY, HOUR = "date '2026-01-05'", "timestamptz '2026-01-05 10:00:00+00'"
OTHER_HOUR = "timestamptz '2026-01-05 11:00:00+00'"


@pytest.fixture
def lake() -> Iterator[duckdb.DuckDBPyConnection]:
    """Both sides empty; the run's scope is one hour."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    for side in ("lake", "build"):
        connection.execute(f"attach ':memory:' as {side}")
        connection.execute(f"create schema {side}.gold")
        columns = ", ".join(f"{name} {kind}" for name, kind in SPEC.columns)
        connection.execute(f"create table {side}.gold.counts ({columns})")
    connection.execute(f"create temp table scope_hours as select {HOUR} as value")
    connection.execute(f"create temp table scope_days as select {DAY} as value")
    yield connection
    connection.close()


def fill(connection: duckdb.DuckDBPyConnection, side: str, rows: dict[int, int | None], hour: str = HOUR) -> None:
    for key, value in rows.items():
        connection.execute(f"insert into {side}.gold.counts values ({DAY}, {hour}, ?, ?)", [key, value])


def published(connection: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    return connection.execute("select key, value from lake.gold.counts order by all").fetchall()


def test_only_rows_that_differ_are_touched_and_a_null_equals_a_null(lake: duckdb.DuckDBPyConnection) -> None:
    fill(lake, "lake", {1: 10, 2: None, 3: 30, 4: 40})
    fill(lake, "build", {1: 10, 2: None, 3: 31, 5: None})
    assert apply_difference(lake, SPEC) == Difference("gold.counts", added=2, removed=2)
    assert published(lake) == [(1, 10), (2, None), (3, 31), (5, None)]
    assert apply_difference(lake, SPEC) == Difference("gold.counts", added=0, removed=0)


def test_other_hours_stay_as_they_are(lake: duckdb.DuckDBPyConnection) -> None:
    fill(lake, "lake", {1: 10}, OTHER_HOUR)
    fill(lake, "build", {2: 20}, OTHER_HOUR)
    assert apply_difference(lake, SPEC) == Difference("gold.counts", added=0, removed=0)
    assert published(lake) == [(1, 10)]


@pytest.mark.parametrize("side", ["build", "lake"])
def test_a_row_that_is_there_twice_is_refused(lake: duckdb.DuckDBPyConnection, side: str) -> None:
    for name in ("build", "lake"):
        fill(lake, name, {1: 10})
    fill(lake, side, {1: 10})
    with pytest.raises(DifferenceError, match="a row is there twice"):
        apply_difference(lake, SPEC)
