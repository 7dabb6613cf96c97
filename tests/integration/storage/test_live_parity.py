"""Live minutes against gold by dbt, over the same records: equal cell by cell, and a bug planted in either is named.

The minutes are the oracle's here, written as the query writes them; tests/integration/streaming compares Spark's own.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from statistics import fmean
from typing import Any

import duckdb
import pytest
from sqlalchemy import Engine, text

from storage.control.engine import make_engine
from storage.control.hours import TouchedHour, begin_anew, feed, mark_published
from storage.live.batches import Batch, apply_batch, close_before
from storage.live.breakdowns import Breakdown
from storage.live.hours import forget_compared_versions, list_due, mark_superseded, note_comparison
from storage.live.minutes import Grain, State, read_sliding, read_windows, split_by_source
from storage.live.parity import ParityReport
from storage.live.state import WINDOWS_QUERY
from storage.publications import latest
from storage.settings import StorageSettings
from tests.faults.verdict import list_uncompared
from tests.fixtures.live_records import (
    HOUR,
    Sent,
    click,
    counts_of,
    download,
    expected_cells,
    mixed,
)
from tests.integration.storage.parity_bench import TOPIC, Both

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)


@pytest.mark.feature("S0-8")
@pytest.mark.feature("S0-12")
@pytest.mark.feature("S2-F4")
@pytest.mark.feature("S4-3")
@pytest.mark.feature("S4-4")
@pytest.mark.feature("S4-5")
@pytest.mark.feature("S4-6")
@pytest.mark.feature("S4-18")
def test_closed_minutes_equal_gold_and_a_planted_bug_is_named(both: Both) -> None:
    at = HOUR + 3 * MINUTE
    ordinary = mixed(11, 300)
    # A retry without a time of its own: the server stamps it anew, long after live forgot the first.
    first, again = click("again", at, "u3"), click("again", HOUR + 58 * MINUTE, "u3")
    late = [click(f"late-{n}", at, received_after=timedelta(minutes=10 + n)) for n in (1, 2)]
    delayed = click("delayed", at, "u9", arrived_after=timedelta(minutes=13))
    landed = [*ordinary, first, *late, late[0], delayed, again]
    n = len(ordinary) + 1
    left_out = [(late[0], "late", n), (late[1], "late", n + 1), (late[0], "late", n + 2), (delayed, "delayed", n + 3)]
    assert both.write_live([*ordinary, first, again.later(event_id="forgotten")], left_out)
    before = counts_of(both.engine)
    assert not both.write_live(ordinary, left_out), "a replayed batch is left alone"
    assert counts_of(both.engine) == before
    close_before(both.engine, WINDOWS_QUERY, HOUR + 75 * MINUTE)

    both.land(landed)
    both.land([click("old", at, "u7"), click("older", HOUR + 31 * MINUTE, "u8")], topic="events.import.v1")
    both.lakehouse.publish([HOUR])
    report = both.compare()
    assert report.examples == ()
    assert report.ledger_offences == ()
    assert report.left_out == {"delayed": 1, "late": 3}
    assert (report.imported_count, report.ok) == (2, True)
    assert report.tolerated_count == 3, "the forgotten copy: its minute, its five minutes and its hour"
    assert report.cell_count > 100

    both.sent = ordinary
    assert_rollups(both)
    assert_planted_bugs_in_live_are_named(both)

    # A bug on gold's way: it publishes a record that live never had.
    extra = next(record for record in ordinary if record.contract == "download/1")
    both.land([extra.later(event_id="never seen by live")], 10_000)
    both.lakehouse.publish([HOUR])
    report = both.compare()
    assert not report.ok
    body = extra.body
    assert isinstance(body, dict)
    named = {(difference.table, difference.keys, difference.column) for difference in report.examples}
    content = (body["content"]["content_id"], body["user_context"]["region"])
    assert ("live.minutes[content]", content, "event_count") in named
    assert ("live.minutes[content]", content, "size_mb") in named
    assert ("gold.agg_hour_events", ("download", "download", "none"), "event_count") in named


def assert_rollups(bench: Both) -> None:
    """Grains add up, keys merge, sliding windows are five minutes, and rows say how final they are."""
    engine, end = bench.engine, HOUR + 60 * MINUTE
    minutes = counts_of(engine)
    for grain in (Grain.FIVE_MINUTES, Grain.HOUR, Grain.DAY):
        windows = read_windows(engine, Breakdown.EVENTS, grain, HOUR, end)
        assert sum(window.event_count for window in windows) == sum(
            count for key, count in minutes.items() if key[2] == "events"
        )
    [hour] = [
        window
        for window in read_windows(engine, Breakdown.EVENTS, Grain.HOUR, HOUR, end, by=("family",))
        if window.keys == ("download",)
    ]
    first = {(record.app_id, record.event_id): record for record in bench.sent}
    bodies = [
        record.body for record in first.values() if record.contract == "download/1" and isinstance(record.body, dict)
    ]
    assert hour.event_count == len(bodies)
    assert hour.users.estimate == len({body["user_id"] for body in bodies})
    assert float(hour.size_mb) == pytest.approx(sum(body["content"]["size_mb"] for body in bodies))
    by_region = read_windows(engine, Breakdown.CONTENT, Grain.HOUR, HOUR, end, by=("region",))
    assert sum(window.failed_count for window in by_region) == sum(
        body["download"]["status"] == "failed" for body in bodies
    )
    for window in by_region:
        here = [body for body in bodies if (body["user_context"]["region"],) == window.keys]
        good = [body["download"] for body in here if body["download"]["status"] == "success"]
        assert window.success_rate == round(Decimal(len(good)) / len(here), 4)
        assert float(window.average_speed_mbps or 0) == pytest.approx(
            fmean(one["speed_mbps"] for one in good), abs=0.006
        )
        assert float(window.average_duration_seconds or 0) == pytest.approx(
            fmean(one["duration_seconds"] for one in good), abs=0.006
        )
        assert float(window.total_size_gb) == pytest.approx(
            sum(body["content"]["size_mb"] for body in here) / 1024, abs=0.006
        )
    for keys in (("content_id",), ("region",), ("content_id", "region")):
        by_minute = read_windows(engine, Breakdown.CONTENT, Grain.MINUTE, HOUR, end, by=keys)
        sliding = read_sliding(engine, Breakdown.CONTENT, HOUR, end, by=keys)
        assert {(window.keys, window.window_end) for window in sliding} == {
            (window.keys, window.window_start + n * MINUTE) for window in by_minute for n in range(1, 6)
        }
        for window in sliding:
            cells = [
                c
                for c in by_minute
                if c.keys == window.keys and window.window_start <= c.window_start < window.window_end
            ]
            assert window.event_count == sum(cell.event_count for cell in cells)
        assert {window.state for window in by_minute} == {State.CLOSED}
    assert {window.state for window in read_windows(engine, Breakdown.EVENTS, Grain.DAY, HOUR, end)} == {State.OPEN}


@pytest.mark.feature("S4-6")
def test_trending_windows_are_ordered_by_downloads_and_equal_ones_by_content(both: Both) -> None:
    counts = {"b": 2, "c": 3, "a": 2}
    both.write_live([download(f"{name}-{n}", HOUR, name) for name, count in counts.items() for n in range(count)])
    sliding = read_sliding(both.engine, Breakdown.CONTENT, HOUR, HOUR + 3 * MINUTE, by=("content_id",))
    assert [(window.window_end - HOUR, window.keys[0]) for window in sliding] == [
        (n * MINUTE, name) for n in (1, 2) for name in ("c", "a", "b")
    ]


def assert_planted_bugs_in_live_are_named(bench: Both) -> None:
    event = "breakdown = 'events' and keys = array['engagement', 'click', 'web']"
    for change, table, column in (
        (f"event_count = event_count + 1 where {event}", "live.minutes[events]", "event_count"),
        ("failed_count = failed_count + 1 where breakdown = 'error'", "live.minutes[error]", "failed_count"),
        ("speed_mbps = speed_mbps * 2 where breakdown = 'device'", "live.minutes[device]", "speed_mbps"),
        (
            "users_sketch = (select users_sketch from live.minutes order by event_count desc limit 1) "
            "where breakdown = 'hashtag' and event_count = 1",
            "live.minutes[hashtag]",
            "unique_users",
        ),
    ):
        with bench.engine.connect() as connection:
            connection.execute(text("create table kept as select * from live.minutes"))
            connection.execute(text(f"update live.minutes set {change}"))
            connection.commit()
            report = bench.compare()
            assert not report.ok, change
            assert (table, column) in {(example.table, example.column) for example in report.examples}, (
                report.describe()
            )
            assert {example.app_id for example in report.examples} == {"app-1"}
            connection.execute(text("delete from live.minutes"))
            connection.execute(text("insert into live.minutes select * from kept"))
            connection.execute(text("drop table kept"))
            connection.commit()
    with bench.engine.begin() as connection:
        row = connection.execute(text("delete from live.left_out where event_id = 'late-2' returning *")).one()
    report = bench.compare()
    assert report.ledger_offences == (
        f"{row.kafka_topic}/{row.kafka_partition}/{row.kafka_offset} is late in silver.events and not in the ledger",
    )
    # In the hour it cancels out against the forgotten copy, which live has too much.
    assert {example.table for example in report.examples} == {"live.minutes[events]", "gold.agg_5min_events"}
    with bench.engine.begin() as connection:
        marks = ", ".join(f":{name}" for name in row._fields)
        connection.execute(text(f"insert into live.left_out values ({marks})"), dict(row._mapping))
    assert bench.compare().ok


@pytest.mark.feature("S0-12")
def test_an_hour_is_superseded_once_published_and_compared_once_per_publication(
    storage_settings: StorageSettings,
) -> None:
    engine, now = make_engine(storage_settings), HOUR + 80 * MINUTE
    batch = Batch(WINDOWS_QUERY, "query", 0, {TOPIC: {0: 4, 1: 3}}, None)
    apply_batch(engine, batch, expected_cells([click("a", HOUR + MINUTE)]))
    close_before(engine, WINDOWS_QUERY, HOUR + 60 * MINUTE)
    ends = {TOPIC: {0: 3, 1: 2}}
    assert list_due(engine, 2, lambda _: ends, WINDOWS_QUERY) == []
    feed(engine, [TouchedHour(HOUR, 1, 1, "arrival")], after_version=None, to_version=1)
    assert mark_superseded(engine, now) == 0
    assert [stretch.source for stretch in split_by_source(engine, HOUR, HOUR + 90 * MINUTE)] == ["live"]

    mark_published(engine, [HOUR], 1, "run")
    assert mark_superseded(engine, HOUR + 60 * MINUTE) == 0, "the hour is just over"
    assert mark_superseded(engine, now) == 1
    assert mark_superseded(engine, now) == 0
    assert [(s.source, s.end - s.start) for s in split_by_source(engine, HOUR + MINUTE, HOUR + 90 * MINUTE)] == [
        ("gold", 59 * MINUTE),
        ("live", 30 * MINUTE),
    ]
    [window] = read_windows(engine, Breakdown.EVENTS, Grain.MINUTE, HOUR, HOUR + 60 * MINUTE)
    assert (window.state, window.source) == (State.SUPERSEDED, "live")

    assert list_due(engine, 2, lambda _: {TOPIC: {0: -1}}, WINDOWS_QUERY) == [], "bronze is not as far"
    [due] = list_due(engine, 2, lambda _: ends, WINDOWS_QUERY)
    note_comparison(engine, due, {"ok": True}, now)
    assert list_due(engine, 2, lambda _: ends, WINDOWS_QUERY) == []
    feed(engine, [TouchedHour(HOUR, 2, 2, "late")], after_version=1, to_version=2)
    assert list_due(engine, 2, lambda _: ends, WINDOWS_QUERY) == []
    assert [stretch.source for stretch in split_by_source(engine, HOUR, HOUR + 60 * MINUTE)] == ["gold"]
    mark_published(engine, [HOUR], 2, "run")
    [due] = list_due(engine, 2, lambda _: ends, WINDOWS_QUERY)
    assert due.published_version == 2
    note_comparison(engine, due, {"ok": True}, now)

    # A bronze that was restored begins below: what is published from it is compared again.
    assert not begin_anew(engine, 7), "somebody else was faster"
    assert begin_anew(engine, 2)
    forget_compared_versions(engine)
    assert list_due(engine, 0, lambda _: ends, WINDOWS_QUERY) == []
    feed(engine, [TouchedHour(HOUR, 0, 0, "late")], after_version=None, to_version=0)
    assert list_due(engine, 0, lambda _: ends, WINDOWS_QUERY) == [], "it is dirty"
    mark_published(engine, [HOUR], 0, "run")
    assert [item.published_version for item in list_due(engine, 0, lambda _: ends, WINDOWS_QUERY)] == [0]
    engine.dispose()


LATE = click("late", HOUR + 3 * MINUTE).later(received_after=timedelta(hours=2))


def count_and_close(bench: Both, ordinary: list[Sent]) -> int:
    """Live has counted these records of the hour and closed it. The offset behind them."""
    end = len(ordinary)
    bench.write_live(ordinary, offsets={0: end})
    close_before(bench.engine, WINDOWS_QUERY, HOUR + 75 * MINUTE)
    return end


@pytest.mark.feature("S0-12")
def test_an_hour_waits_until_live_has_read_what_gold_published_of_it(both: Both) -> None:
    # Regression: a late event that gold had first, because live was down, made the hour red for good.
    ordinary = mixed(21, 20)
    end = count_and_close(both, ordinary)
    both.land(ordinary)
    both.publish_hour()
    over = HOUR + timedelta(hours=2)
    assert list_uncompared(both.engine, HOUR + 73 * MINUTE) == []
    assert list_uncompared(both.engine, over) == [HOUR], "the fault harness demands it, whatever is due"
    [due] = both.due()
    note_comparison(both.engine, due, {"ok": True}, HOUR)
    assert list_uncompared(both.engine, over) == []

    both.land([LATE], first_offset=end)
    both.publish_hour()
    assert both.due() == [], "live has not read it"
    assert list_uncompared(both.engine, over) == [HOUR]
    both.write_live(ordinary, [(LATE, "late", end)], batch_id=1, offsets={0: end + 1})
    [due] = both.due()
    assert both.compare(due).ok


@pytest.mark.feature("S0-12")
def test_what_live_left_out_since_the_publication_is_not_looked_for_in_it(both: Both) -> None:
    # Regression: live has its ledger's row within seconds, gold the event after a minute; a comparison between the two was red.
    ordinary = mixed(22, 20)
    end = count_and_close(both, ordinary)
    both.write_live(ordinary, [(LATE, "late", end)], batch_id=1, offsets={0: end + 1})
    both.land(ordinary)
    both.publish_hour()
    [due] = both.due()
    then = latest(both.engine)
    assert both.compare(due).ok
    [offence] = both.compare(replace(due, landed={TOPIC: {0: end}})).ledger_offences
    assert offence == f"{TOPIC}/0/{end} is in the ledger and nowhere in silver"
    both.land([LATE], first_offset=end)
    both.publish_hour()
    assert both.compare(due, then).ok, "gold of the moment in which it was due"
    assert not both.compare(due).ok


def assert_an_hour_that_cannot_be_compared_is_red_once(
    both: Both, check: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the run failed, every quarter of a minute, and no later hour was compared."""

    def fail(*_: object, **__: object) -> ParityReport:
        raise duckdb.ConversionException("no number")

    feed(both.engine, [TouchedHour(HOUR, 2, 2, "late")], after_version=1, to_version=2)
    mark_published(both.engine, [HOUR], 2, "run")
    both.lakehouse.land([])
    with monkeypatch.context() as patch:
        patch.setattr("storage.live.parity.compare_hour", fail)
        evaluation = check()
        assert not evaluation.passed
        assert evaluation.metadata["hours"].value[0]["error"] == "no number"
        assert check().metadata["hours"].value == []


@pytest.mark.feature("S0-12")
def test_the_asset_check_compares_what_is_due_and_turns_red_with_columns_and_keys(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Dagster runs it, on an ephemeral instance: nothing due, equal, then a planted bug, then mended by a new publication."""
    import dagster as dg

    from platform_assets.assets.live_windows import live_minutes_equal_gold
    from platform_assets.resources.warehouse import WarehouseResource

    storage = both.storage

    class OfTest(WarehouseResource):
        @property
        def storage(self) -> StorageSettings:  # type: ignore[override]
            return storage

        @property
        def engine(self) -> Engine:  # type: ignore[override]
            return both.engine

    def check() -> dg.AssetCheckEvaluation:
        with dg.DagsterInstance.ephemeral() as instance:
            defs = dg.Definitions(asset_checks=[live_minutes_equal_gold], resources={"warehouse": OfTest()})
            job = defs.resolve_implicit_global_asset_job_def()
            result = job.execute_in_process(instance=instance, raise_on_error=True)
        [evaluation] = result.get_asset_check_evaluations()
        return evaluation

    counted = mixed(5, 40)
    both.write_live(counted)
    close_before(both.engine, WINDOWS_QUERY, HOUR + 60 * MINUTE)
    assert check().passed
    both.land([*counted, *[click(f"filler-{n}", HOUR + 70 * MINUTE) for n in range(1000 - len(counted))]])
    feed(both.engine, [TouchedHour(HOUR, 0, 0, "arrival")], after_version=None, to_version=0)
    both.lakehouse.publish([HOUR])
    evaluation = check()
    assert evaluation.passed
    [compared] = evaluation.metadata["hours"].value
    assert (compared["hour"], compared["ok"], compared["differences"]) == ("2026-03-01T10:00Z", True, 0)
    assert check().metadata["hours"].value == []

    with both.engine.begin() as connection:
        connection.execute(text("update live.minutes set event_count = event_count + 1 where breakdown = 'device'"))
    feed(both.engine, [TouchedHour(HOUR, 1, 1, "late")], after_version=0, to_version=1)
    mark_published(both.engine, [HOUR], 1, "run")
    both.lakehouse.land([])
    evaluation = check()
    assert not evaluation.passed
    [compared] = evaluation.metadata["hours"].value
    assert compared["examples"][0].startswith("live.minutes[device].event_count 2026-03-01T10:")
    assert "app-1 tv/1: live" in compared["examples"][0]
    assert_an_hour_that_cannot_be_compared_is_red_once(both, check, monkeypatch)
    with both.engine.connect() as connection:
        [alert] = connection.execute(
            text("select kind, subject, message from control.alerts where resolved_at is null")
        )
    assert (alert.kind, alert.subject) == ("live_differs_from_gold", "2026-03-01T10:00Z")
    assert alert.message.startswith("live.minutes[device].event_count")
