"""A build compared with what is published, by table and day: rows added, removed and changed, and gold's sums. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from storage.difference import attach_build, rows_of, scope_condition, write_difference
from storage.lake import open_lake
from storage.settings import StorageSettings
from storage.tables import TableSpec


@dataclass(frozen=True)
class DayDifference:
    """What differs in one table on one UTC day. `measures`: sums over the rows of the compared hours, as published and as built.

    A row is changed when both sides have its key with other values; `added` and `removed` count keys of one side alone.
    """

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
    published = _published_rows(lake, spec, condition)
    difference = write_difference(lake, spec, condition, published)
    if not difference.added and not difference.removed:
        return []
    match = " and ".join(f'added."{name}" is not distinct from removed."{name}"' for name in spec.key)
    rows = lake.execute(
        "select coalesce(added.event_date, removed.event_date) as day, count(*) filter (removed.event_date is null), "
        "count(*) filter (added.event_date is null), "
        "count(*) filter (added.event_date is not null and removed.event_date is not null) "
        f"from added full join removed on {match} group by day order by day"
    ).fetchall()
    sums = _sums(lake, spec, published, rows_of("build", spec, condition))
    return [
        DayDifference(spec.qualified_name, day, added, removed, changed, sums.get(day, {}))
        for day, added, removed, changed in rows
    ]


def _published_rows(lake: duckdb.DuckDBPyConnection, spec: TableSpec, condition: str) -> str:
    """A relation of the published rows with the columns of `spec`: null where the published table lacks one, empty where it is missing."""
    rows = lake.execute(
        "select column_name from duckdb_columns() where database_name = 'lake' and schema_name = ? and table_name = ?",
        [spec.schema, spec.name],
    ).fetchall()
    existing = {row[0] for row in rows}
    columns = ", ".join(
        f'"{name}"' if name in existing else f'cast(null as {kind}) as "{name}"' for name, kind in spec.columns
    )
    if not existing:
        return f"(select {columns} where false)"
    return f"(select {columns} from lake.{spec.qualified_name} where {condition})"


def _sums(
    lake: duckdb.DuckDBPyConnection, spec: TableSpec, published: str, built: str
) -> dict[date, dict[str, tuple[float, float]]]:
    """Rows and measures per day: (published, built)."""
    names = ("row_count", *spec.measures)
    sums = ", ".join(["count(*)", *(f'coalesce(sum("{name}"), 0)::double' for name in spec.measures)])
    found: dict[date, dict[str, tuple[float, float]]] = {}
    for side, relation in enumerate((published, built)):
        for day, *values in lake.execute(f"select event_date, {sums} from {relation} group by event_date").fetchall():
            of_day = found.setdefault(day, dict.fromkeys(names, (0, 0)))
            for name, value in zip(names, values, strict=True):
                old, new = of_day[name]
                of_day[name] = (value, new) if side == 0 else (old, value)
    return found
