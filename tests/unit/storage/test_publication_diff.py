"""What differs between two publications, on plain DuckDB catalogs in their place."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from storage import publication_diff
from storage.lake import PUBLICATIONS_DDL
from storage.publication_diff import Asked, OpenPublication, PublicationDiff, comparable, diff
from storage.restatements import RESTATEMENTS_DDL
from storage.tables import TableSpec

HOURS = TableSpec(
    "gold",
    "hours",
    (("app_id", "varchar"), ("event_date", "date"), ("event_hour", "timestamptz"), ("event_count", "bigint")),
    ("app_id", "event_hour"),
    "event_hour",
)
DAYS = TableSpec("gold", "days", (*HOURS.columns[:2], HOURS.columns[3]), ("app_id", "event_date"), "event_date")
EVENTS = replace(HOURS, schema="silver", name="events", columns=HOURS.columns[:3])
SPECS = (EVENTS, DAYS, HOURS)
T0 = datetime(2026, 1, 5, 10, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OLD, NEW = OpenPublication(3, "old_lake"), OpenPublication(5, "new_lake")
ALL = Asked("shop", SPECS, "day", None, None, 100)


class Lakes:
    """Both publications; every hour written to `new` is named by publication 4, which lies between, unless told otherwise."""

    def __init__(self) -> None:
        self.session = duckdb.connect()
        self.session.execute("set TimeZone = 'UTC'")
        for side in (OLD, NEW):
            self.session.execute(f"attach ':memory:' as {side.catalog}")
            for schema in ("silver", "gold", "operations"):
                self.session.execute(f"create schema {side.catalog}.{schema}")
            for spec in SPECS:
                columns = ", ".join(f"{name} {kind}" for name, kind in spec.columns)
                self.session.execute(f"create table {side.catalog}.{spec.qualified_name} ({columns})")
        for statement in (PUBLICATIONS_DDL, RESTATEMENTS_DDL):
            self.session.execute(statement.replace("lake.", f"{NEW.catalog}."))

    def hold(self, side: OpenPublication, hour: datetime, count: int, app_id: str = "shop") -> None:
        """So many events in that hour: as rows of silver, and as a cell of each table of gold."""
        for _ in range(count):
            self.session.execute(
                f"insert into {side.catalog}.silver.events values (?, ?, ?)", [app_id, hour.date(), hour]
            )
        self.session.execute(
            f"insert into {side.catalog}.gold.hours values (?, ?, ?, ?)", [app_id, hour.date(), hour, count]
        )
        self.session.execute(f"insert into {side.catalog}.gold.days values (?, ?, ?)", [app_id, hour.date(), count])

    def publish(self, *hours: datetime, publication_id: int = 4, cause: str = "late", tables: object = SPECS) -> None:
        changes = {spec.qualified_name: {"added": int(spec in tables), "removed": 0} for spec in SPECS}  # type: ignore[operator]
        self.session.execute(
            f"insert into {NEW.catalog}.operations.publications (publication_id, cause, hours, changes) values (?, ?, ?, ?)",
            [publication_id, cause, list(hours), json.dumps(changes)],
        )

    def restate(self, publication_id: int, start: datetime, app_id: str = "shop", table: str = "gold.hours") -> None:
        self.session.execute(
            f"insert into {NEW.catalog}.operations.restatements values (?, 'late', 'run', ?, 'hour', ?, ?, 'event_count', 1, 2, 1, 1, ?)",
            [publication_id, table, start, app_id, T0],
        )

    def diff(self, asked: Asked = ALL, old: OpenPublication = OLD, new: OpenPublication = NEW) -> PublicationDiff:
        return diff(self.session, old, new, asked)


@pytest.fixture
def lakes() -> Iterator[Lakes]:
    made = Lakes()
    yield made
    made.session.close()


def cells(found: PublicationDiff) -> list[tuple[object, ...]]:
    return [
        (item.table, item.period_start, item.added, item.removed, item.changed, item.measures.get("event_count"))
        for item in found.differences
    ]


def test_gold_is_compared_by_row_and_silver_by_number_over_whole_days(lakes: Lakes) -> None:
    for side, count in ((OLD, 2), (NEW, 3)):
        lakes.hold(side, T0, count)
    for side in (OLD, NEW):
        lakes.hold(side, T0 + HOUR, 10)
    lakes.publish(T0)
    midnight = T0.replace(hour=0)
    found = lakes.diff(replace(ALL, specs=(EVENTS, HOURS)))
    assert cells(found) == [
        ("gold.hours", midnight, 0, 0, 1, (12, 13)),
        ("silver.events", midnight, None, None, None, None),
    ]
    assert [item.measures["row_count"] for item in found.differences] == [(2, 2), (12, 13)]
    assert {item.period for item in found.differences} == {"day"}
    assert found.causes == {"late": 1}


def test_asked_by_hour_a_table_of_days_stays_by_day(lakes: Lakes) -> None:
    lakes.hold(NEW, T0, 1)
    lakes.hold(NEW, T0 + HOUR, 2)
    lakes.publish(T0, T0 + HOUR)
    found = lakes.diff(replace(ALL, period="hour"))
    assert [(item.table, item.period, item.period_start) for item in found.differences] == [
        ("gold.hours", "hour", T0 + HOUR),
        ("silver.events", "hour", T0 + HOUR),
        ("gold.hours", "hour", T0),
        ("silver.events", "hour", T0),
        ("gold.days", "day", T0.replace(hour=0)),
    ]


def test_the_newer_publication_may_come_first_and_the_ledger_stays_as_it_is(lakes: Lakes) -> None:
    lakes.hold(OLD, T0, 1)
    lakes.hold(NEW, T0, 1)
    lakes.hold(NEW, T0 + HOUR, 2)
    lakes.publish(T0 + HOUR)
    lakes.restate(4, T0)
    forward, back = lakes.diff(replace(ALL, specs=(HOURS,))), lakes.diff(replace(ALL, specs=(HOURS,)), NEW, OLD)
    assert cells(forward) == [("gold.hours", T0.replace(hour=0), 1, 0, 0, (1, 3))]
    assert cells(back) == [("gold.hours", T0.replace(hour=0), 0, 1, 0, (3, 1))]
    assert (back.restatements, back.causes) == (forward.restatements, forward.causes)
    assert len(back.restatements) == 1


def test_rows_of_another_application_are_neither_compared_nor_told(lakes: Lakes) -> None:
    lakes.hold(NEW, T0, 7, app_id="other")
    lakes.publish(T0)
    lakes.restate(4, T0, app_id="other")
    lakes.restate(4, T0, app_id="")
    found = lakes.diff()
    assert (found.differences, found.restatements) == ([], [])
    assert lakes.diff(replace(ALL, app_id="other")).differences


def test_only_what_publications_in_between_say_they_changed_is_read(lakes: Lakes) -> None:
    for hour in (T0, T0 + DAY, T0 + 2 * DAY, T0 + 3 * DAY):
        lakes.hold(NEW, hour, 1)
    lakes.publish(T0, publication_id=3)
    lakes.publish(T0 + DAY, publication_id=4, tables=(HOURS,))
    lakes.publish(T0 + 2 * DAY, publication_id=5, cause="arrival", tables=(DAYS,))
    lakes.publish(T0 + 3 * DAY, publication_id=6)
    found = lakes.diff()
    assert [(item.table, item.period_start.day) for item in found.differences] == [("gold.days", 7), ("gold.hours", 6)]
    assert found.causes == {"arrival": 1, "late": 1}


@pytest.mark.parametrize("missing", [OLD, NEW])
def test_a_table_or_column_that_one_side_lacks_is_empty_there(lakes: Lakes, missing: OpenPublication) -> None:
    for side in (OLD, NEW):
        lakes.hold(side, T0, 1)
    lakes.publish(T0)
    lakes.session.execute(f"drop table {missing.catalog}.gold.days")
    lakes.session.execute(f"alter table {missing.catalog}.gold.hours drop column event_count")
    found = {item.table: (item.added, item.removed, item.changed) for item in lakes.diff().differences}
    assert found == {"gold.days": (1, 0, 0) if missing == OLD else (0, 1, 0), "gold.hours": (0, 0, 1)}


def test_a_table_that_neither_side_has_differs_in_nothing(lakes: Lakes) -> None:
    lakes.publish(T0)
    for side in (OLD, NEW):
        lakes.session.execute(f"drop table {side.catalog}.gold.days")
    lakes.session.execute(f"drop table {NEW.catalog}.operations.restatements")
    assert (lakes.diff().differences, lakes.diff().restatements) == ([], [])


@pytest.mark.parametrize(
    ("from_at", "to_at", "hours"),
    [
        (None, None, [0, 1, 2]),
        (T0 + HOUR, None, [1, 2]),
        (T0 + HOUR - timedelta(microseconds=1), None, [0, 1, 2]),
        (None, T0 + HOUR, [0]),
        (None, T0 + HOUR + timedelta(microseconds=1), [0, 1]),
        (T0 + 5 * HOUR, T0 + 6 * HOUR, []),
    ],
)
def test_periods_that_meet_the_range_are_told_whole(
    lakes: Lakes, from_at: datetime | None, to_at: datetime | None, hours: list[int]
) -> None:
    touched = [T0 + n * HOUR for n in range(3)]
    for hour in touched:
        lakes.hold(NEW, hour, 1)
        lakes.restate(4, hour)
    lakes.publish(*touched)
    found = lakes.diff(replace(ALL, specs=(HOURS,), period="hour", from_at=from_at, to_at=to_at))
    expected = [touched[n] for n in reversed(hours)]
    assert [item.period_start for item in found.differences] == expected
    assert [row.period_start for row in found.restatements] == expected
    by_day = lakes.diff(replace(ALL, specs=(HOURS,), from_at=from_at, to_at=to_at)).differences
    assert [item.measures["event_count"] for item in by_day] == [(0, 3)], "the whole day"


def test_an_answer_is_cut_at_the_limit_and_says_so(lakes: Lakes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication_diff, "DAYS_AT_ONCE", 2)
    touched = [T0 + n * DAY for n in range(5)]
    for hour in touched:
        lakes.hold(NEW, hour, 1)
        lakes.restate(4, hour)
    lakes.publish(*touched)
    for limit in range(1, 7):
        found = lakes.diff(replace(ALL, specs=(HOURS,), limit=limit))
        expected = [hour.date() for hour in reversed(touched)][:limit]
        assert [item.period_start.date() for item in found.differences] == expected
        assert [row.period_start.date() for row in found.restatements] == expected
        assert (found.has_more_differences, found.has_more_restatements) == (limit < 5, limit < 5)


def test_restatements_are_those_of_the_tables_asked_for_newest_publication_first(lakes: Lakes) -> None:
    for publication_id in (3, 4, 5, 6):
        lakes.restate(publication_id, T0)
        lakes.restate(publication_id, T0, table="gold.days")
        lakes.restate(publication_id, T0, table="silver.quarantine")
    found = lakes.diff().restatements
    assert [(row.publication_id, row.table) for row in found] == [
        (5, "gold.days"),
        (5, "gold.hours"),
        (4, "gold.days"),
        (4, "gold.hours"),
    ]
    only = lakes.diff(replace(ALL, specs=(HOURS,))).restatements
    assert [(row.publication_id, row.table, row.cause, row.run_id, row.old_value, row.new_value) for row in only] == [
        (5, "gold.hours", "late", "run", 1, 2),
        (4, "gold.hours", "late", "run", 1, 2),
    ]


def test_a_table_whose_rows_name_no_application_cannot_be_compared() -> None:
    unnamed = replace(DAYS, columns=DAYS.columns[1:], key=("event_date",))
    other = replace(EVENTS, name="quarantine")
    assert comparable((EVENTS, other, unnamed, HOURS)) == (EVENTS, HOURS)
