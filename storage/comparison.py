"""Two states of a table compared, by period: rows added, removed and changed, and gold's sums. Reads only.

Here: a build and what is published, for plans. Two publications: `storage.publication_diff`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from storage.difference import attach_build, rows_of, scope_condition
from storage.lake import open_lake
from storage.settings import StorageSettings
from storage.tables import Scope, TableSpec


@dataclass(frozen=True)
class RowChanges:
    """What differs between two states of one table in one period. `measures`: old and new sum over the compared rows.

    A row is changed when both sides have its key with other values; `added` and `removed` count keys of one side alone.
    """

    added: int
    removed: int
    changed: int
    measures: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class DayDifference:
    """`RowChanges` of one table on one UTC day, over the rows of the compared hours: as published, as built."""

    table: str
    day: date
    added: int
    removed: int
    changed: int
    measures: dict[str, tuple[float, float]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "table": self.table,
            "day": self.day.isoformat(),
            "added": self.added,
            "removed": self.removed,
            "changed": self.changed,
            "measures": {name: list(values) for name, values in self.measures.items()},
        }


def parse_difference(fields: dict[str, Any]) -> DayDifference:
    """The reverse of `as_dict`."""
    measures = {name: (values[0], values[1]) for name, values in fields["measures"].items()}
    day = date.fromisoformat(fields["day"])
    return DayDifference(fields["table"], day, fields["added"], fields["removed"], fields["changed"], measures)


def promotion_changes(specs: Sequence[TableSpec], differences: Sequence[DayDifference]) -> dict[str, dict[str, int]]:
    """The same in a promotion's terms, where a changed row is one removed and one added."""
    changes = {spec.qualified_name: {"added": 0, "removed": 0} for spec in specs}
    for item in differences:
        changes[item.table]["added"] += item.added + item.changed
        changes[item.table]["removed"] += item.removed + item.changed
    return changes


def compare(
    settings: StorageSettings,
    specs: Sequence[TableSpec],
    build_file: Path,
    hours: tuple[datetime, ...],
    snapshot_id: int | None,
) -> list[DayDifference]:
    """What promoting the build would change, by table and day; days without a difference are left out.

    A published table that lacks a column has nulls there, a missing one no rows: a plan may come before its tables.
    """
    with open_lake(settings, snapshot_id=snapshot_id) as lake:
        attach_build(lake, build_file, hours)
        return [item for spec in specs for item in _compare_table(lake, spec)]


def _compare_table(lake: duckdb.DuckDBPyConnection, spec: TableSpec) -> list[DayDifference]:
    condition = scope_condition(lake, spec)
    published, built = published_rows(lake, "lake", spec, condition), rows_of("build", spec, condition)
    found = compare_rows(lake, spec, published, built, "event_date")
    return [DayDifference(spec.qualified_name, day, **vars(changes)) for day, changes in found.items()]


def published_rows(lake: duckdb.DuckDBPyConnection, catalog: str, spec: TableSpec, condition: str) -> str:
    """A relation of published rows with the columns of `spec`: null where the published table lacks one, empty where it is missing."""
    table = f"{catalog}.{spec.qualified_name}"
    try:
        existing = {column[0] for column in lake.execute(f"select * from {table} limit 0").description}
    except duckdb.CatalogException:
        existing = set()
    columns = ", ".join(
        f'"{name}"' if name in existing else f'cast(null as {kind}) as "{name}"' for name, kind in spec.columns
    )
    return f"(select * from (select {columns} {f'from {table}' if existing else 'where false'}) where {condition})"


def compare_rows(
    session: duckdb.DuckDBPyConnection,
    spec: TableSpec,
    old: str,
    new: str,
    period: Scope,
    values: Mapping[str, Any] | None = None,
) -> dict[Any, RowChanges]:
    """What differs between two relations with the columns of `spec`, by the column `period`; periods without a difference are left out.

    Every column is compared, a null equals a null, and each relation is read once. `values` are bound.
    """
    key = dict.fromkeys((period, *spec.key))
    is_same_row = " and ".join(f'old."{name}" is not distinct from new."{name}"' for name in key)
    differs = [f'old."{name}" is distinct from new."{name}"' for name, _ in spec.columns if name not in key]
    sums = ", ".join(
        ["count(old.is_there)", "count(new.is_there)"]
        + [f'coalesce(sum({side}."{name}"), 0)::double' for name in spec.measures for side in ("old", "new")]
    )
    rows = session.execute(
        f'select coalesce(new."{period}", old."{period}"), count(*) filter (old.is_there is null), '
        "count(*) filter (new.is_there is null), "
        f"count(*) filter (old.is_there and new.is_there and ({' or '.join(differs) or 'false'})), {sums} "
        f"from (select *, true as is_there from {old}) as old full join (select *, true as is_there from {new}) as new "
        f"on {is_same_row} group by 1 order by 1",
        dict(values or {}),
    ).fetchall()
    names = ("row_count", *spec.measures)
    return {
        start: RowChanges(
            added, removed, changed, dict(zip(names, zip(totals[::2], totals[1::2], strict=True), strict=True))
        )
        for start, added, removed, changed, *totals in rows
        if added or removed or changed
    }
