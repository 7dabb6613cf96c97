"""Retention of the live tables: what gold has long answered for goes, whole hours at a time; everything else stays."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from platform_assets.assets.live_retention import live_retention
from platform_assets.resources.warehouse import WarehouseResource
from storage.control.alerts import list_open, open_alert
from storage.control.engine import make_engine
from storage.control.hours import TouchedHour, feed, mark_published
from storage.live.batches import Batch, apply_batch, close_before
from storage.live.hour_alerts import DIFFERS, subject_of
from storage.live.hours import list_due, mark_superseded, note_comparison
from storage.live.minutes import split_by_source
from storage.live.retention import plan_removal, remove
from storage.live.state import WINDOWS_QUERY, begin_generation
from storage.settings import StorageSettings
from tests.fixtures.live_records import click, expected_cells, ledger_cell

pytestmark = [pytest.mark.integration, pytest.mark.feature("S4-20")]

TOPIC = "events.raw.v1"
ENDS = {TOPIC: {0: 999}}
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
KEPT_FROM = NOW - 7 * DAY
# What stands in each hour, and how far it came.
DONE = NOW - 20 * DAY
DONE_TOO = DONE + HOUR
LEDGER_STILL_ASKED = KEPT_FROM - 12 * HOUR
UNCOMPARED = NOW - 19 * DAY
DIRTY = NOW - 18 * DAY
UNPUBLISHED = NOW - 17 * DAY
REOPENED = NOW - 16 * DAY
YOUNG = NOW - 6 * DAY
ONLY_LATE = NOW - 15 * DAY
ONLY_LATE_AND_DIRTY = NOW - 14 * DAY
WITH_MINUTES = (DONE, DONE_TOO, LEDGER_STILL_ASKED, UNCOMPARED, DIRTY, UNPUBLISHED, REOPENED, YOUNG)
WITH_LEDGER = (*WITH_MINUTES, ONLY_LATE, ONLY_LATE_AND_DIRTY)
PUBLISHED = tuple(hour for hour in WITH_LEDGER if hour != UNPUBLISHED)
STAY = {UNCOMPARED, DIRTY, UNPUBLISHED, REOPENED, YOUNG}


@pytest.fixture
def engine(storage_settings: StorageSettings) -> Iterator[Engine]:
    """Live tables with an hour in every state, two alerts that are over and one that is not."""
    engine = make_engine(storage_settings)
    cells = expected_cells(
        [click(f"{hour}-{n}", hour + n * timedelta(minutes=7)) for hour in WITH_MINUTES for n in (1, 2)]
    )
    cells += [ledger_cell(click(f"late {n}", hour), "late", TOPIC, 0, n) for n, hour in enumerate(WITH_LEDGER)]
    apply_batch(engine, Batch(WINDOWS_QUERY, "query", 0, {TOPIC: {0: 1000}}, None), cells)
    close_before(engine, WINDOWS_QUERY, NOW)
    feed(engine, [TouchedHour(hour, 0, 0, "arrival") for hour in PUBLISHED], after_version=None, to_version=0)
    mark_published(engine, PUBLISHED, 0, "run")
    mark_superseded(engine, NOW)
    for due in list_due(engine, 2, lambda _: ENDS, WINDOWS_QUERY):
        if due.hour != UNCOMPARED:
            note_comparison(engine, due, {"ok": True}, NOW)
    touched = [TouchedHour(hour, 1, 1, "late") for hour in (DIRTY, ONLY_LATE_AND_DIRTY)]
    feed(engine, touched, after_version=0, to_version=1)
    with engine.begin() as connection:
        connection.execute(text("update live.hours set closed_at = null where hour = :hour"), {"hour": REOPENED})
        for place, resolved_at in enumerate((NOW - 31 * DAY, NOW - 29 * DAY, None)):
            connection.execute(
                text(
                    "insert into live.anomalies (app_id, type, region, severity, message, value, baseline, first_minute, opened_at, "
                    "resolved_at) values ('a', 'LOW_SPEED', :region, 'WARNING', '', 1, 2, :at, :at, :resolved_at)"
                ),
                {"region": f"r{place}", "at": NOW - 40 * DAY, "resolved_at": resolved_at},
            )
    yield engine
    engine.dispose()


def hours_of(engine: Engine, column: str) -> set[datetime]:
    with engine.connect() as connection:
        rows = connection.execute(
            text(f"select distinct date_trunc('hour', {column}, 'UTC') as hour from live.{TABLES[column]}")
        )
        return {row.hour for row in rows}


TABLES = {"minute": "minutes", "occurred_at": "left_out"}


def test_hours_go_only_when_gold_has_long_answered_for_them_and_nothing_is_to_be_compared(engine: Engine) -> None:
    limits = {"minutes_before": KEPT_FROM, "alerts_before": NOW - 30 * DAY, "limit_hours": 100}
    planned = plan_removal(engine, **limits)  # type: ignore[arg-type]
    assert hours_of(engine, "minute") == set(WITH_MINUTES), "a plan removes nothing"

    removed = remove(engine, **limits)  # type: ignore[arg-type]

    assert removed == planned
    assert removed.hours == (DONE, DONE_TOO, LEDGER_STILL_ASKED)
    assert (removed.minute_rows, removed.ledger_rows, removed.alert_rows) == (6, 3, 1)
    assert hours_of(engine, "minute") == STAY
    assert hours_of(engine, "occurred_at") == STAY | {LEDGER_STILL_ASKED, ONLY_LATE_AND_DIRTY}
    again = remove(engine, **limits)  # type: ignore[arg-type]
    assert (again.hours, again.minute_rows, again.ledger_rows, again.alert_rows) == ((), 0, 0, 0)
    assert hours_of(engine, "minute") == STAY


def test_an_hour_that_is_gone_is_golds_and_is_never_compared_again(engine: Engine) -> None:
    # Regression: a late event published such an hour anew, and its missing minutes would have differed from gold.
    for hour in (DONE, UNCOMPARED):
        open_alert(engine, DIFFERS, subject_of(hour), "differs", {})
    remove(engine, minutes_before=KEPT_FROM, alerts_before=NOW, limit_hours=100)
    feed(engine, [TouchedHour(DONE, 2, 2, "late")], after_version=1, to_version=2)
    mark_published(engine, [DONE], 2, "run")
    assert [due.hour for due in list_due(engine, 2, lambda _: ENDS, WINDOWS_QUERY)] == [UNCOMPARED]
    assert [alert.subject for alert in list_open(engine)] == [subject_of(UNCOMPARED)], "nothing else would end it"
    mark_superseded(engine, NOW)
    assert [stretch.source for stretch in split_by_source(engine, DONE, DONE + HOUR)] == ["gold"]


def test_a_pass_is_bounded_and_the_next_one_goes_on(engine: Engine) -> None:
    passes = [remove(engine, minutes_before=KEPT_FROM, alerts_before=NOW, limit_hours=1).hours for _ in range(4)]
    assert passes == [(DONE,), (DONE_TOO,), (LEDGER_STILL_ASKED,), ()]


def test_hours_of_before_a_new_checkpoint_wait_for_no_comparison(engine: Engine) -> None:
    begin_generation(engine, WINDOWS_QUERY, 1, {}, UNCOMPARED + HOUR)
    removed = remove(engine, minutes_before=KEPT_FROM, alerts_before=NOW, limit_hours=100)
    assert UNCOMPARED in removed.hours, "another checkpoint counted it: it is not compared any more"
    assert LEDGER_STILL_ASKED not in removed.hours, "the new checkpoint has opened it again"


def test_the_asset_tells_before_it_removes(
    engine: Engine, storage_settings: StorageSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_STORAGE_DATABASE_URL", storage_settings.database_url)

    def materialize(*, dry_run: bool) -> dict[str, object]:
        result = dg.materialize(
            [live_retention],
            resources={"warehouse": WarehouseResource()},
            run_config={"ops": {live_retention.op.name: {"config": {"dry_run": dry_run}}}},
        )
        [event] = result.asset_materializations_for_node(live_retention.op.name)
        return {name: value.value for name, value in event.metadata.items() if name != "kept_from"}

    counts = {"hours": 3, "minute_rows": 6, "ledger_rows": 3, "alert_rows": 1}
    planned = {f"planned_{name}": count for name, count in counts.items()}
    assert materialize(dry_run=True) == {**planned, **{f"removed_{name}": 0 for name in counts}}
    assert hours_of(engine, "minute") == set(WITH_MINUTES)
    assert materialize(dry_run=False) == {**planned, **{f"removed_{name}": count for name, count in counts.items()}}
    assert set(materialize(dry_run=False).values()) == {0}
