"""Compares one hour of closed live minutes with what is published, cell by cell. Reads both sides; writes nothing.

Minutes are compared with what the published events of `silver.events` give; their roll-ups with gold's own tables. Counts and sums must be
equal once what live left out (its ledger, per record) and imports are added; distinct users within the sketch's error. Where gold and live
may each take another copy of an event, just the cells of that event may differ, by just its values. Who compares which hour when:
storage.live.hours.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import resources
from typing import Any

import duckdb
import sqlalchemy as sa
from sqlalchemy import Engine

from storage.lake import open_lake
from storage.live.breakdowns import KEY_NAMES, Breakdown
from storage.live.hours import DueHour
from storage.live.minutes import HOUR, Grain, LiveWindow, read_windows
from storage.live.sketches import is_within_bound
from storage.live.tables import left_out
from storage.publications import Publication
from storage.settings import StorageSettings

COUNTS = ("event_count", "success_count", "failed_count", "cancelled_count")
AMOUNTS = ("size_mb", "duration_seconds", "speed_mbps")
USERS = "unique_users"
# Both sides round each value to a millionth; a tie may fall either way.
AMOUNT_STEP = Decimal("0.000001")
MAX_EXAMPLES = 20
# How far around an hour the ledger is asked where copies of its records went.
NEAR = timedelta(days=1)
GRAINS = {"gold.agg_5min_events": Grain.FIVE_MINUTES, "gold.agg_hour_events": Grain.HOUR}
# One record is in one cell of each table, but for its hashtags.
_MINUTES_OF_HASHTAGS = f"live.minutes[{Breakdown.HASHTAG}]"

CellKey = tuple[str, datetime, str, tuple[str, ...]]
Cell = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """One column of one cell. `live` includes what live left out, by its ledger."""

    table: str
    window_start: datetime
    app_id: str
    keys: tuple[str, ...]
    column: str
    live: str
    gold: str

    def __str__(self) -> str:
        at = f"{self.window_start:%Y-%m-%dT%H:%MZ}"
        return (
            f"{self.table}.{self.column} {at} {self.app_id} {'/'.join(self.keys)}: live {self.live}, gold {self.gold}"
        )


@dataclass(frozen=True)
class ParityReport:
    """What a comparison found. `tolerated` cells differ by copies or bodies that one side alone can judge, see sql/records.sql."""

    hour: datetime
    publication_id: int
    cell_count: int
    left_out: dict[str, int]
    imported_count: int
    tolerated_count: int
    difference_count: int
    examples: tuple[Difference, ...]
    ledger_offences: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether both sides say the same."""
        return not self.difference_count and not self.ledger_offences

    def describe(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "hour": f"{self.hour:%Y-%m-%dT%H:%MZ}",
            "ok": self.ok,
            "publication": self.publication_id,
            "cells": self.cell_count,
            "left_out": self.left_out,
            "imported": self.imported_count,
            "tolerated_cells": self.tolerated_count,
            "differences": self.difference_count,
            "examples": [str(example) for example in self.examples],
            "ledger": list(self.ledger_offences),
        }


def compare_hour(
    settings: StorageSettings,
    engine: Engine,
    due: DueHour,
    publication: Publication,
    *,
    topic: str,
    remembered_seconds: int,
) -> ParityReport:
    """The comparison with the publication that was the newest when the hour was found due, whatever has been published since.

    What live has left out since, behind what had landed then, is not looked at: gold will have it.
    `remembered_seconds`: how long after an event occurred live surely knows its copies.
    """
    hour = due.hour
    values = {"day": hour.date(), "hour": hour, "topic": topic}
    judged = {"remembered_seconds": remembered_seconds, "horizon_days": settings.deduplication_horizon_days}
    with open_lake(settings, snapshot_id=publication.snapshot_id) as lake:
        _load_ledger(lake, engine, due)
        lake.execute(_sql("rows"), values)
        lake.execute(_sql("records"), {**values, **judged})
        lake.execute(_sql("expected"))
        gold = {**_expected_cells(lake, "counted"), **dict(_gold_windows(lake, values))}
        leeway = _Leeway(
            _with_rollups(_expected_cells(lake, "more")),
            _with_rollups(_expected_cells(lake, "less")),
            dict(
                lake.execute("select app_id, count(*) from records where side = 'unknown' group by app_id").fetchall()
            ),
        )
        live = _live_cells(engine, hour)
        unseen = _add_unseen(live, lake.execute(_sql("unseen")).fetchall())
        offences = lake.execute(_sql("ledger")).fetchall()
        reasons = dict(lake.execute("select reason, count(*) from ledger group by all order by all").fetchall())
        imported = lake.execute("select count(*) from published where is_imported").fetchone()
    differences, tolerated = _compare(live, gold, unseen, leeway)
    return ParityReport(
        hour=hour,
        publication_id=publication.publication_id,
        cell_count=len(live.keys() | gold.keys()),
        left_out=reasons,
        imported_count=imported[0] if imported else 0,
        tolerated_count=tolerated,
        difference_count=len(differences),
        examples=tuple(differences[:MAX_EXAMPLES]),
        ledger_offences=tuple(row[0] for row in offences[:MAX_EXAMPLES]),
    )


def _sql(name: str) -> str:
    return resources.files("storage.live").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def _load_ledger(lake: duckdb.DuckDBPyConnection, engine: Engine, due: DueHour) -> None:
    """Makes `ledger`, the hour's records, and `left_out_near`, those of a day around it: farther copies are not looked for."""
    places = (left_out.c.kafka_topic, left_out.c.kafka_partition, left_out.c.kafka_offset)
    for name, near in (("ledger", timedelta(0)), ("left_out_near", NEAR)):
        lake.execute(
            f"create temp table {name} (kafka_topic varchar, kafka_partition integer, kafka_offset bigint, reason varchar)"
        )
        statement = sa.select(*places, left_out.c.reason).where(
            left_out.c.occurred_at >= due.hour - near, left_out.c.occurred_at < due.hour + HOUR + near
        )
        with engine.connect() as connection:
            rows = [
                tuple(row)
                for row in connection.execute(statement)
                if row.kafka_offset <= due.landed.get(row.kafka_topic, {}).get(row.kafka_partition, -1)
            ]
        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            lake.execute(f"insert into {name} select unnest(?), unnest(?), unnest(?), unnest(?)", columns)


def _expected_cells(lake: duckdb.DuckDBPyConnection, side: str) -> dict[CellKey, Cell]:
    columns = (*COUNTS, *AMOUNTS, USERS)
    rows = lake.execute(
        f"select breakdown, window_start, app_id, keys, {', '.join(columns)} from expected where side = ?", [side]
    ).fetchall()
    return {
        (_minutes_table(breakdown), start.astimezone(UTC), app_id, tuple(keys)): dict(zip(columns, values, strict=True))
        for breakdown, start, app_id, keys, *values in rows
    }


def _gold_windows(lake: duckdb.DuckDBPyConnection, values: dict[str, Any]) -> Iterator[tuple[CellKey, Cell]]:
    of_hour = {name: values[name] for name in ("day", "hour")}
    for table, start, app_id, keys, count, users in lake.execute(_sql("gold"), of_hour).fetchall():
        yield (table, start.astimezone(UTC), app_id, tuple(keys)), {"event_count": count, USERS: users}


def _live_cells(engine: Engine, hour: datetime) -> dict[CellKey, Cell]:
    cells: dict[CellKey, Cell] = {}
    for breakdown in KEY_NAMES:
        if breakdown is not Breakdown.REJECTED:
            for window in read_windows(engine, breakdown, Grain.MINUTE, hour, hour + HOUR):
                cells[_key(_minutes_table(breakdown), window)] = _values(window, (*COUNTS, *AMOUNTS))
    for table, grain in GRAINS.items():
        for window in read_windows(engine, Breakdown.EVENTS, grain, hour, hour + HOUR):
            cells[_key(table, window)] = _values(window, ("event_count",))
    return cells


def _minutes_table(breakdown: str) -> str:
    return f"live.minutes[{breakdown}]"


def _key(table: str, window: LiveWindow) -> CellKey:
    return table, window.window_start, window.app_id, window.keys


def _values(window: LiveWindow, columns: tuple[str, ...]) -> Cell:
    return {**{column: getattr(window, column) for column in columns}, USERS: window.users.estimate}


def _add_unseen(live: dict[CellKey, Cell], rows: list[Any]) -> set[CellKey]:
    """Adds to live's roll-ups what it left out or never saw; such cells say nothing about users. Returns their keys."""
    touched = set()
    for app_id, keys, minute, count in rows:
        for table, grain in GRAINS.items():
            key = (table, _window_start(minute, grain), app_id, tuple(keys))
            live.setdefault(key, {"event_count": 0, USERS: 0})["event_count"] += count
            touched.add(key)
    return touched


def _window_start(minute: datetime, grain: Grain) -> datetime:
    seconds = grain.length.total_seconds()
    return datetime.fromtimestamp(minute.timestamp() // seconds * seconds, UTC)


def _with_rollups(cells: dict[CellKey, Cell]) -> dict[CellKey, Cell]:
    """The minutes' cells, and what those of all events make of gold's windows."""
    found = dict(cells)
    for (table, minute, app_id, keys), cell in cells.items():
        if table == _minutes_table(Breakdown.EVENTS):
            for gold, grain in GRAINS.items():
                key = (gold, _window_start(minute, grain), app_id, keys)
                before = found.get(key, {}).get("event_count", 0)
                found[key] = {"event_count": before + cell["event_count"]}
    return found


@dataclass(frozen=True)
class _Leeway:
    """By how much live may be above (`more`) or below gold (`less`), per cell and column; `unknown`: an app's records, in any cell."""

    more: dict[CellKey, Cell]
    less: dict[CellKey, Cell]
    unknown: dict[str, int]


def _compare(
    live: dict[CellKey, Cell], gold: dict[CellKey, Cell], unseen: set[CellKey], leeway: _Leeway
) -> tuple[list[Difference], int]:
    differences: list[Difference] = []
    tolerated = 0
    used: Counter[tuple[str, str]] = Counter()
    for key in sorted(live.keys() | gold.keys()):
        table, _, app_id, _ = key
        ours, theirs = live.get(key, {}), gold.get(key, {})
        more, less = leeway.more.get(key, {}), leeway.less.get(key, {})
        difference = (ours.get("event_count") or 0) - (theirs.get("event_count") or 0)
        beyond = max(0, difference - more.get("event_count", 0))
        if 0 < beyond <= leeway.unknown.get(app_id, 0) - used[app_id, table]:
            if table != _MINUTES_OF_HASHTAGS:
                used[app_id, table] += beyond
        else:
            beyond = 0
        wrong = [
            column
            for column in (ours or theirs)
            if (column != USERS or key not in unseen)
            and not _is_equal(
                column,
                ours.get(column) or 0,
                theirs.get(column) or 0,
                theirs.get("event_count") or 0,
                more,
                less,
                beyond,
            )
        ]
        differences += [
            Difference(*key, column, str(ours.get(column, 0)), str(theirs.get(column, 0))) for column in wrong
        ]
        tolerated += bool(difference and not wrong)
    return differences, tolerated


def _is_equal(
    column: str, ours: Any, theirs: Any, event_count: int, more: Cell, less: Cell, unknown_count: int
) -> bool:
    """Whether live's value is gold's, give or take what the cell's uncertain records amount to."""
    if column in AMOUNTS:
        if unknown_count:
            return True  # of a record that is not known, neither is its size
        above, below = Decimal(more.get(column, 0)), Decimal(less.get(column, 0))
        step = AMOUNT_STEP * (event_count + int(more.get("event_count", 0)))
        return -below - step <= Decimal(ours) - Decimal(theirs) <= above + step
    counted_as = "event_count" if column == USERS else column
    nearest = min(max(ours, theirs - less.get(counted_as, 0)), theirs + more.get(counted_as, 0) + unknown_count)
    return is_within_bound(ours, nearest) if column == USERS else bool(ours == nearest)
