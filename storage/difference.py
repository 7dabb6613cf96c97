"""The difference between a build and the published tables, within the run's hours: what promotion applies and the ledger keeps.

Works on a connection with the lake attached as `lake`. Whole rows are compared; rows of other hours are not looked at, nor those of a
growing table that a build adds to without naming them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from storage.tables import TableSpec


class DifferenceError(Exception):
    """Build and published tables cannot be compared."""


@dataclass(frozen=True)
class Difference:
    """Rows of one table that are in the build but not published (`added`), and the reverse (`removed`)."""

    table: str
    added: int
    removed: int


def attach_build(
    lake: duckdb.DuckDBPyConnection,
    build_file: Path,
    hours: Sequence[datetime],
    grown_hours: Sequence[datetime] = (),
) -> None:
    """Attaches the build and makes the run's scope as temporary tables: its hours, their days, and which hours it replaces or adds to."""
    lake.execute(f"ATTACH '{build_file}' AS build (READ_ONLY)")
    replaced = [hour for hour in hours if hour not in set(grown_hours)]
    for name, values in (("hours", hours), ("replaced_hours", replaced), ("grown_hours", grown_hours)):
        lake.execute(f"create temp table scope_{name} as select unnest(?::timestamptz[]) as value", [list(values)])
    lake.execute("create temp table scope_days as select distinct cast(value as date) as value from scope_hours")


def scope_condition(lake: duckdb.DuckDBPyConnection, spec: TableSpec, hours_table: str = "scope_hours") -> str:
    """The condition for the rows of a table that the run replaces; constant bounds let files be pruned."""
    scope_table, kind = (hours_table, "timestamptz") if spec.scope == "event_hour" else ("scope_days", "date")
    bounds = lake.execute(f"select min(value)::varchar, max(value)::varchar from {scope_table}").fetchone()
    if bounds is None or bounds[0] is None:
        raise DifferenceError("The run names no hours.")
    first, last = bounds
    days = lake.execute("select min(value)::varchar, max(value)::varchar from scope_days").fetchone()
    by_day = f"event_date between date '{days[0]}' and date '{days[1]}' and " if days else ""
    return (
        f"{by_day}{spec.scope} between {kind} '{first}' and {kind} '{last}' "
        f"and {spec.scope} in (select value from {scope_table})"
    )


def rows_of(side: str, spec: TableSpec, condition: str) -> str:
    """A relation of the table's rows in the scope: `build` as built, `lake` as published."""
    return f"(select {spec.column_list} from {side}.{spec.qualified_name} where {condition})"


def rows_to_compare(lake: duckdb.DuckDBPyConnection, spec: TableSpec) -> str:
    """A relation of the published rows that the build speaks about: all of the scope, of growing hours those whose key it has."""
    if not spec.grows or not count(lake, "scope_grown_hours"):
        return rows_of("lake", spec, scope_condition(lake, spec))
    condition = scope_condition(lake, spec, "scope_grown_hours")
    match = " and ".join(f'published."{column}" = built."{column}"' for column in spec.key)
    # Found once: the comparison looks at them four times, and each look would read the hour so far.
    lake.execute(
        f"create or replace temp table published_again as select {spec.column_list} from {rows_of('lake', spec, condition)} as published "
        f"semi join (select * from build.{spec.qualified_name} where {condition}) as built on {match}"
    )
    again = f"select {spec.column_list} from published_again"
    if not count(lake, "scope_replaced_hours"):
        return f"({again})"
    replaced = rows_of("lake", spec, scope_condition(lake, spec, "scope_replaced_hours"))
    return f"(select * from {replaced} union all {again})"


def write_difference(lake: duckdb.DuckDBPyConnection, spec: TableSpec, condition: str, published: str) -> Difference:
    """Makes the temporary tables `removed` and `added`: published rows that the build has not, and the reverse.

    `published` is the relation of published rows, with the columns of `spec`.

    Raises:
        DifferenceError: the numbers of rows are not equal then, because the build has one row twice.
    """
    name, built = spec.qualified_name, rows_of("build", spec, condition)
    lake.execute(f"create or replace temp table removed as {_rows_without_equal(spec, published, built)}")
    lake.execute(f"create or replace temp table added as {_rows_without_equal(spec, built, published)}")
    removed, added, before, after = (count(lake, rows) for rows in ("removed", "added", published, built))
    if after != before - removed + added:
        raise DifferenceError(
            f"{name} has {after} rows in the build, but would have {before - removed + added}: a row is there twice."
        )
    return Difference(name, added, removed)


def _rows_without_equal(spec: TableSpec, left: str, right: str) -> str:
    """The left rows that have no equal on the right. `except all` would number all rows first, at four times the cost."""
    equal = " and ".join(f'this."{column}" is not distinct from other."{column}"' for column, _ in spec.columns)
    return (
        f"select {spec.column_list} from {left} as this where not exists (select 1 from {right} as other where {equal})"
    )


def count(lake: duckdb.DuckDBPyConnection, rows: str) -> int:
    """Rows of a relation."""
    row = lake.execute(f"select count(*) from {rows}").fetchone()
    return int(row[0]) if row else 0
