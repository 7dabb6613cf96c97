"""The restatement ledger: what a promotion changes in hours that were closed and published, old and new beside each other.

One row per publication, table, period (the hour, or the day of day tables), application and measure, in operations.restatements, written in
the promotion's own transaction. The first publication of an hour restates nothing. An hour closes 15 minutes after its end, a day with
its last hour.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import duckdb

from storage.difference import rows_of
from storage.tables import TableSpec

CLOSES_AFTER = timedelta(minutes=15)
PERIODS = {"event_hour": timedelta(hours=1), "event_date": timedelta(days=1)}
PERIOD_NAMES = {"event_hour": "hour", "event_date": "day"}
RESTATEMENTS_DDL = """
create table if not exists lake.operations.restatements (
    publication_id bigint, cause varchar, run_id varchar, table_name varchar, period varchar, period_start timestamptz, app_id varchar,
    measure varchar, old_value double, new_value double, rows_added bigint, rows_removed bigint, published_at timestamptz
)
"""


class Ledger:
    """Gathers one promotion's restatements. Use: open it before anything is changed, `note` each table, `write` at the end."""

    def __init__(self, lake: duckdb.DuckDBPyConnection, specs: Sequence[TableSpec], published_at: datetime) -> None:
        self._lake = lake
        lake.execute(
            "create or replace temp table restated (table_name varchar, period varchar, period_start timestamptz, app_id varchar, "
            "measure varchar, old_value double, new_value double, rows_added bigint, rows_removed bigint)"
        )
        lake.execute("create or replace temp table closed_periods (scope varchar, period_start timestamptz)")
        self._closed: set[str] = set()
        for scope, length in PERIODS.items():
            self._find_closed(scope, specs, published_at - CLOSES_AFTER - length)

    def _find_closed(self, scope: str, specs: Sequence[TableSpec], last_start: datetime) -> None:
        """Periods of the run that are closed and hold published rows. Every landed record is a row of one silver table.

        A day may hold published rows of other hours than the run's.
        """
        table, kind = ("scope_hours", "timestamptz") if scope == "event_hour" else ("scope_days", "date")
        bounds = self._lake.execute(
            f"select min(value)::varchar, max(value)::varchar from {table} where value::timestamptz <= ?", [last_start]
        ).fetchone()
        if bounds is None or bounds[0] is None:
            return
        first, last = (f"{kind} '{bound}'" for bound in bounds)
        # Constant bounds let files be pruned.
        condition = (
            f"event_date between {first}::date and {last}::date and {scope} between {first} and {last} "
            f"and {scope} in (select value from {table})"
        )
        parts = [
            f"select {scope}::timestamptz from {rows_of('lake', spec, condition)}"
            for spec in specs
            if spec.schema == "silver" and spec.scope == "event_hour"
        ]
        if parts:
            inserted = self._lake.execute(
                f"insert into closed_periods select distinct '{scope}', * from ({' union all '.join(parts)})"
            ).fetchone()
            if inserted and inserted[0]:
                self._closed.add(scope)

    def note(self, spec: TableSpec, condition: str) -> None:
        """Notes what the temporary tables `removed` and `added` change in closed periods. Call before they are applied."""
        if spec.scope not in self._closed:
            return
        changes = {"row_count": "sum(sign)", **{name: f"sum(sign * {_quote(name)})" for name in spec.measures}}
        sums = {"row_count": "count(*)", **{name: f"sum({_quote(name)})" for name in spec.measures}}
        changed, summed = (
            ", ".join(f"coalesce({sql}, 0)::double as {_quote(name)}" for name, sql in columns.items())
            for columns in (changes, sums)
        )
        names = {name for name, _ in spec.columns}
        app = "app_id" if "app_id" in names else "''"
        start = f"{spec.scope}::timestamptz"
        unions = " union all ".join(
            f"select {_text(spec.qualified_name)}, {_text(PERIOD_NAMES[spec.scope])}, changed.period_start, changed.app_id, {_text(name)}, "
            f"coalesce(before.{_quote(name)}, 0), coalesce(before.{_quote(name)}, 0) + changed.{_quote(name)}, rows_added, rows_removed "
            "from changed left join before using (period_start, app_id) "
            f"where {_text(name)} = 'row_count' or changed.{_quote(name)} <> 0"
            for name in changes
        )
        # What is after follows from what changes: a build that adds to an hour does not hold all of it.
        self._lake.execute(
            "insert into restated with signed as (select *, 1 as sign from added union all select *, -1 from removed), "
            f"changed as (select {start} as period_start, {app} as app_id, count(*) filter (sign > 0) as rows_added, "
            f"count(*) filter (sign < 0) as rows_removed, {changed} from signed "
            f"where {start} in (select period_start from closed_periods where scope = '{spec.scope}') group by all), "
            f"before as (select {start} as period_start, {app} as app_id, {summed} "
            f"from {rows_of('lake', spec, condition)} group by all) {unions}"
        )

    def write(self, publication_id: int, cause: str, run_id: str, published_at: datetime) -> int:
        """Adds the rows to operations.restatements; returns how many."""
        row = self._lake.execute(
            "insert into lake.operations.restatements select ?, ?, ?, restated.*, ? from restated order by all",
            [publication_id, cause, run_id, published_at],
        ).fetchone()
        return int(row[0]) if row else 0


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
