"""I2, I3, I4 and I6: the published silver and gold against bronze, day by day.

Days are taken together until they hold ROWS_PER_STEP rows, so that a year of quiet days is one step and a busy day spills alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from storage.verification import bodies, queries
from storage.verification.report import Finding

ROWS_PER_STEP = 500_000
"""About 250 bytes a row without the raw value: a step fits the default memory limit of 1 GB with its joins."""

DERIVED_TABLES = (
    "experiment_exposures",
    "fct_user_hours",
    "agg_5min_events",
    "agg_hour_events",
    "agg_day_events",
    "agg_hour_download_errors",
)
LATER_TABLES = ("silver.redrives", "silver.experiment_exposures", "gold.agg_hour_download_errors")
"""Tables that a publication that is kept, or is the newest after an upgrade, may be older than."""


@dataclass(frozen=True)
class DayCheck:
    """A query over the rows of one step, and what it proves."""

    query: str
    name: str
    invariant: str
    good: str


DAY_CHECKS = (
    DayCheck(
        "i2_accounted_for", "landed_events_are_in_silver_once", "I2", "every due offset is in one silver table, once"
    ),
    DayCheck(
        "i3_equal_bronze", "silver_rows_come_from_bronze", "I3", "every silver row has its bronze row, stamps equal"
    ),
    DayCheck("i3_stamps", "stamps_equal_record_headers", "I3", "bronze's stamps are its records' own headers"),
    DayCheck(
        "i3_winners",
        "duplicates_name_an_earlier_winner",
        "I3",
        "every duplicate's winner landed earlier within the horizon",
    ),
    DayCheck(
        "i4_silver", "silver_equals_recomputation", "I4", "every verdict of silver is what the rules say of bronze"
    ),
    DayCheck(
        "i4_redrives",
        "redrives_equal_recomputation",
        "I4",
        "every recovered event names the origin that its header names",
    ),
    *(
        DayCheck(
            f"i4_{table}", f"{table}_equal_recomputation", "I4", "equal to its recomputation from bronze, cell for cell"
        )
        for table in DERIVED_TABLES
    ),
    DayCheck(
        "i6_event_hours", "offsets_are_conserved_by_event_hour", "I6", "landed = silver + duplicates + quarantined"
    ),
    DayCheck(
        "i6_received_hours",
        "events_are_conserved_by_received_hour",
        "I6",
        "received = on time + late + duplicate + quarantined",
    ),
)


def check_days(session: duckdb.DuckDBPyConnection, counts: Sequence[tuple[date, int]]) -> list[Finding]:
    """All day checks over all days. Needs the session's views, cutoffs and verdicts."""
    findings = {check.query: Finding(check.name, check.invariant, check.good) for check in DAY_CHECKS}
    for first_day, last_day in steps(counts, ROWS_PER_STEP):
        queries.set_variables(session, first_day=first_day, last_day=last_day)
        for script in ("landed_rows", "published_rows", "i4_expected_events"):
            queries.run_script(session, script)
        for check in DAY_CHECKS:
            queries.gather(session, check.query, findings[check.query])
    return list(findings.values())


def check_repeated_ids(session: duckdb.DuckDBPyConnection) -> tuple[Finding, int]:
    """An event id is in silver.events once within the horizon; the copies beyond it are counted and named."""
    finding = Finding("event_ids_are_unique_within_the_horizon", "I2", "every event id is in silver.events once")
    offences = session.execute(
        f"select is_beyond_horizon, count(*), min(offence, 20) from ({queries.load('i2_repeated_ids').rstrip().removesuffix(';')}) "
        "group by is_beyond_horizon"
    ).fetchall()
    beyond_count = 0
    for is_beyond, count, names in offences:
        if is_beyond:
            beyond_count = count
            finding.note(f"{count} copies beyond the horizon count again: {', '.join(names)}")
        else:
            finding.add(names, count=count)
    return finding, beyond_count


def view_later_tables(session: duckdb.DuckDBPyConnection) -> None:
    """Makes the view published_NAME of each of LATER_TABLES: an empty one where the publication is older than the table."""
    rows = session.execute(
        "select schema_name || '.' || table_name from duckdb_tables() where database_name = 'lake'"
    ).fetchall()
    absent = set(LATER_TABLES) - {name for (name,) in rows}
    if absent:
        session.execute(queries.load("empty_lake").replace("lake", "absent"))
    for name in LATER_TABLES:
        place = "absent" if name in absent else "lake"
        session.execute(f"create or replace temp view published_{name.partition('.')[2]} as from {place}.{name}")


def check_redrives(session: duckdb.DuckDBPyConnection) -> list[Finding]:
    """A quarantined record is recovered as one event at most, and what is recovered was there before. Always whole, being few.

    Makes bronze_redrives, which the day checks read. Needs published_redrives.
    """
    queries.run_script(session, "redrives")
    once = Finding("quarantined_records_are_recovered_once", "I2", "no quarantined record was recovered as two events")
    sent = Finding("redrives_name_an_earlier_record", "I3", "every recovered event's origin landed before it")
    queries.gather(session, "i2_recovered_once", once)
    queries.gather(session, "i3_redrives", sent)
    return [once, sent]


def check_landing_order(session: duckdb.DuckDBPyConnection) -> Finding:
    """ingested_at follows the order in which offsets landed: deduplication and the cutoffs of this checker rest on it."""
    finding = Finding("ingested_at_follows_landing_order", "I2", "later offsets never carry an earlier ingested_at")
    queries.gather(session, "order_by_commit", finding)
    return finding


def day_counts(session: duckdb.DuckDBPyConnection, newest_days: int | None) -> list[tuple[date, int]]:
    """Rows per event_date of bronze, oldest first, days that only the lake knows included; only the newest days when asked."""
    rows = session.execute(queries.load("day_counts")).fetchall()
    return rows if newest_days is None else rows[-newest_days:]


def write_verdicts(session: duckdb.DuckDBPyConnection, read_avro: bodies.ReadAvro) -> None:
    """Makes rejected_bodies, copies and verdicts: what silver must reject and whom it must call a duplicate.

    Covers the days of the variables horizon_first_day to horizon_last_day.
    """
    rows = session.execute(queries.load("horizon_day_counts")).fetchall()
    bodies.write_rejected_bodies(session, list(steps(rows, ROWS_PER_STEP)), bodies.ContractJudge(), read_avro)
    queries.run_script(session, "verdicts")


def read_counts(session: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Exact counts of bronze and of the published tables, and the quarantined ones by reason."""
    counts: dict[str, Any] = {}
    for name in ("bronze_counts", "lake_counts"):
        result = session.execute(queries.load(name))
        names = [column[0] for column in result.description]
        counts |= dict(zip(names, result.fetchall()[0], strict=True))
    reasons = session.execute(
        "select reason, count(*) from lake.silver.quarantine group by reason order by reason"
    ).fetchall()
    return counts | {"quarantined_by_reason": dict(reasons)}


def steps(counts: Sequence[tuple[date, int]], rows_per_step: int) -> Iterator[tuple[date, date]]:
    """Neighbouring days in groups of at most `rows_per_step` rows; a day is never cut."""
    first: date | None = None
    last: date | None = None
    total = 0
    for day, row_count in counts:
        if first is not None and last is not None and total + row_count > rows_per_step:
            yield first, last
            first, total = None, 0
        first = day if first is None else first
        last = day
        total += row_count
    if first is not None and last is not None:
        yield first, last
