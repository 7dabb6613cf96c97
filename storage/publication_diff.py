"""What differs between two kept publications in one application's rows, and the restatements that explain it. Reads only.

Works on a session with both publications attached. The publications that came between say which hours of which tables they changed; only
those periods are read, whole, so that the sums are the periods' own. Rows of other applications are never read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Literal

import duckdb

from storage.comparison import RowChanges, compare_rows, published_rows
from storage.restatements import PERIOD_NAMES, PERIODS
from storage.tables import Scope, TableSpec

# Its rows hold whole payloads: comparing a day's would read gigabytes, counting them reads two columns.
COUNTED_TABLE = "silver.events"
# Bounds what one comparison holds in memory, and how far the answer reads on once its limit is reached.
DAYS_AT_ONCE = 31
_BETWEEN = "publication_id > $after and publication_id <= $up_to"
_TOUCHED_HOURS = f"""
select distinct table_name, hour
from (
    select entry.key as table_name, entry.value as changed, unnest(hours) as hour
    from (
        select unnest(map_entries(changes::json::map(varchar, map(varchar, bigint)))) as entry, hours
        from {{catalog}}.operations.publications
        where {_BETWEEN}
    )
)
where changed['added'] > 0 or changed['removed'] > 0
"""
_CAUSES = f"""
select cause, count(*) from {{catalog}}.operations.publications where {_BETWEEN} group by cause order by cause
"""
_RESTATEMENTS = f"""
select
    publication_id, cause, run_id, published_at, table_name, period, period_start,
    measure, old_value, new_value, rows_added, rows_removed
from {{catalog}}.operations.restatements
where {_BETWEEN}
    and app_id = $app_id
    and table_name in (select unnest($tables::varchar[]))
    and ($to_at::timestamptz is null or period_start < $to_at)
    and (
        $from_at::timestamptz is null
        or period_start + case period when 'hour' then interval 1 hour else interval 1 day end > $from_at
    )
order by publication_id desc, period_start desc, table_name, measure
limit $row_limit
"""


@dataclass(frozen=True)
class OpenPublication:
    """A publication that is attached under the name `catalog`."""

    publication_id: int
    catalog: str


@dataclass(frozen=True)
class Asked:
    """What to compare: an application's rows of `specs`, by day, or by hour where a table has hours, in periods that meet [from, to)."""

    app_id: str
    specs: tuple[TableSpec, ...]
    period: Literal["day", "hour"]
    from_at: datetime | None
    to_at: datetime | None
    limit: int

    def period_column(self, spec: TableSpec) -> Scope:
        """The column whose values are the table's periods."""
        return spec.scope if self.period == "hour" else "event_date"

    def starts(self, spec: TableSpec, hours: Sequence[datetime]) -> list[datetime]:
        """The periods that hold these hours, in order."""
        column = self.period_column(spec)
        starts = {hour if column == "event_hour" else _start_of(hour.date()) for hour in hours}
        return sorted(
            start
            for start in starts
            if (self.to_at is None or start < self.to_at)
            and (self.from_at is None or start + PERIODS[column] > self.from_at)
        )


@dataclass(frozen=True)
class PeriodDifference:
    """`RowChanges` of one table in one period. Rows that are counted, not compared, have None for what was added, removed and changed."""

    table: str
    period: str
    period_start: datetime
    added: int | None
    removed: int | None
    changed: int | None
    measures: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Restatement:
    """A row of the ledger: `storage.restatements`."""

    publication_id: int
    cause: str
    run_id: str
    published_at: datetime
    table: str
    period: str
    period_start: datetime
    measure: str
    old_value: float
    new_value: float
    rows_added: int
    rows_removed: int


@dataclass(frozen=True)
class PublicationDiff:
    """Both lists are newest first and cut at the limit. `causes`: publications made after the earlier one up to the later one."""

    causes: Mapping[str, int]
    differences: Sequence[PeriodDifference]
    has_more_differences: bool
    restatements: Sequence[Restatement]
    has_more_restatements: bool


NO_DIFFERENCE = PublicationDiff({}, (), False, (), False)


def comparable(specs: Sequence[TableSpec]) -> tuple[TableSpec, ...]:
    """The tables that a diff can show: gold and the counted one. Rows that name no application belong to no reader."""
    return tuple(
        spec
        for spec in specs
        if (spec.schema == "gold" or spec.qualified_name == COUNTED_TABLE)
        and any(name == "app_id" for name, _ in spec.columns)
    )


def diff(
    session: duckdb.DuckDBPyConnection, old: OpenPublication, new: OpenPublication, asked: Asked
) -> PublicationDiff:
    """What `new` holds other than `old`, whichever was made first; the ledger is told as it was written, forward in time."""
    earlier, later = sorted((old, new), key=lambda side: side.publication_id)
    between = {"after": earlier.publication_id, "up_to": later.publication_id}
    touched: dict[str, list[datetime]] = {}
    for table, hour in session.execute(_TOUCHED_HOURS.format(catalog=later.catalog), between).fetchall():
        touched.setdefault(table, []).append(hour.astimezone(UTC))
    differences = _differences(session, (old.catalog, new.catalog), asked, touched)
    restatements = _restatements(session, later.catalog, asked, between)
    return PublicationDiff(
        causes=dict(session.execute(_CAUSES.format(catalog=later.catalog), between).fetchall()),
        differences=differences[: asked.limit],
        has_more_differences=len(differences) > asked.limit,
        restatements=restatements[: asked.limit],
        has_more_restatements=len(restatements) > asked.limit,
    )


def _differences(
    session: duckdb.DuckDBPyConnection,
    catalogs: tuple[str, str],
    asked: Asked,
    touched: Mapping[str, Sequence[datetime]],
) -> list[PeriodDifference]:
    """Newest first; more than the limit when there are more, but not always all of them."""
    hours = {spec.qualified_name: touched.get(spec.qualified_name, ()) for spec in asked.specs}
    days = sorted({hour.date() for of_table in hours.values() for hour in of_table}, reverse=True)
    found: list[PeriodDifference] = []
    for first in range(0, len(days), DAYS_AT_ONCE):
        batch = frozenset(days[first : first + DAYS_AT_ONCE])
        for spec in asked.specs:
            starts = asked.starts(spec, [hour for hour in hours[spec.qualified_name] if hour.date() in batch])
            if starts:
                found += _table_differences(session, catalogs, spec, starts, asked)
        if len(found) > asked.limit:
            break
    return sorted(found, key=lambda item: (-item.period_start.timestamp(), item.table))


def _table_differences(
    session: duckdb.DuckDBPyConnection,
    catalogs: tuple[str, str],
    spec: TableSpec,
    starts: Sequence[datetime],
    asked: Asked,
) -> list[PeriodDifference]:
    column = asked.period_column(spec)
    # Constant bounds let files be pruned.
    condition = (
        f"app_id = $app_id and event_date between $first_day and $last_day and {column} in (select unnest($starts))"
    )
    values = {
        "app_id": asked.app_id,
        "first_day": starts[0].date(),
        "last_day": starts[-1].date(),
        "starts": [start if column == "event_hour" else start.date() for start in starts],
    }
    old, new = (published_rows(session, catalog, spec, condition) for catalog in catalogs)
    if spec.qualified_name == COUNTED_TABLE:
        counts = _row_counts(session, old, new, column, values)
        return [_difference(spec, column, start, None, {"row_count": count}) for start, count in counts.items()]
    found = compare_rows(session, spec, old, new, column, values)
    return [_difference(spec, column, start, changes, changes.measures) for start, changes in found.items()]


def _row_counts(
    session: duckdb.DuckDBPyConnection, old: str, new: str, column: Scope, values: Mapping[str, Any]
) -> dict[Any, tuple[int, int]]:
    """(old, new) by period, where they are not equal."""
    rows = session.execute(
        f"select {column}, count(*) filter (is_old) as old_count, count(*) filter (not is_old) as new_count "
        f"from (select {column}, true as is_old from {old} union all select {column}, false from {new}) "
        "group by 1 having old_count <> new_count",
        dict(values),
    ).fetchall()
    return {start: (old_count, new_count) for start, old_count, new_count in rows}


def _difference(
    spec: TableSpec,
    column: Scope,
    start: date | datetime,
    changes: RowChanges | None,
    measures: Mapping[str, tuple[float, float]],
) -> PeriodDifference:
    moment = start.astimezone(UTC) if isinstance(start, datetime) else _start_of(start)
    return PeriodDifference(
        spec.qualified_name,
        PERIOD_NAMES[column],
        moment,
        changes.added if changes else None,
        changes.removed if changes else None,
        changes.changed if changes else None,
        measures,
    )


def _restatements(
    session: duckdb.DuckDBPyConnection, catalog: str, asked: Asked, between: Mapping[str, int]
) -> list[Restatement]:
    values = {
        **between,
        "app_id": asked.app_id,
        "tables": [spec.qualified_name for spec in asked.specs],
        "from_at": asked.from_at,
        "to_at": asked.to_at,
        "row_limit": asked.limit + 1,
    }
    try:
        rows = session.execute(_RESTATEMENTS.format(catalog=catalog), values).fetchall()
    except duckdb.CatalogException:
        # Published before there was a ledger.
        return []
    return [Restatement(*row) for row in rows]


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
