"""Alerts in PostgreSQL: raised a quarter of a minute after a minute's end, one open per type and region, judged once whatever dies."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from storage.control.engine import make_engine
from storage.live.anomaly_store import AnomalyWatch, list_anomalies
from storage.live.batches import Batch, Cell, apply_batch
from storage.live.state import WINDOWS_QUERY, open_state
from storage.live.tables import anomalies
from storage.settings import StorageSettings
from tests.fixtures.live_records import HOUR

pytestmark = pytest.mark.integration
MINUTE = timedelta(minutes=1)


@pytest.fixture
def engine(storage_settings: StorageSettings) -> Iterator[Engine]:
    made = make_engine(storage_settings, pool_size=2)
    yield made
    made.dispose()


def cells(minute: int, eu: int, app_id: str = "app-1") -> list[Cell]:
    """A minute of two regions of 100 downloads, `eu` of them good in Europe, split over two error codes."""
    made = []
    for region, successes in (("eu", eu), ("us", 95)):
        for code, count, good in (("none", successes, successes), ("E1", 100 - successes, 0)):
            if count:
                keys, speed = [region, code], Decimal(good * 20)
                at = HOUR + minute * MINUTE
                made.append(
                    Cell(at, app_id, "error", keys, count, good, count - good, 0, None, None, speed, None, b"\0")
                )
    return made


def write(engine: Engine, first: int, *eu: int) -> None:
    for minute, successes in enumerate(eu, first):
        last = open_state(engine).last_batch
        batch = Batch(WINDOWS_QUERY, "query", 0 if last is None else last + 1, {}, None)
        apply_batch(engine, batch, [*cells(minute, successes), *cells(minute, 95, "app-2")])


@pytest.mark.feature("S4-7")
def test_an_outage_raises_one_alert_soon_after_its_third_minute_and_three_good_ones_resolve_it(engine: Engine) -> None:
    write(engine, 0, *[95] * 20, 40, 40, 40)
    watch = AnomalyWatch(engine, WINDOWS_QUERY)
    assert watch.judge_until(HOUR + 23 * MINUTE + timedelta(seconds=14)) == []
    [(app_id, change)] = watch.judge_until(HOUR + 23 * MINUTE + timedelta(seconds=15))
    assert (app_id, change.region) == ("app-1", "eu")
    assert watch.judge_until(HOUR + 23 * MINUTE + timedelta(seconds=50)) == []

    # It dies here: another one goes on, with the same streaks and baselines, and judges no minute twice.
    write(engine, 23, 40, 95, 95)
    watch = AnomalyWatch(engine, WINDOWS_QUERY)
    assert watch.judge_until(HOUR + 26.5 * MINUTE) == []
    watch = AnomalyWatch(engine, WINDOWS_QUERY)
    write(engine, 26, 95)
    assert len(watch.judge_until(HOUR + 27.5 * MINUTE)) == 1
    [alert] = list_anomalies(engine)
    assert (alert.type, alert.region, alert.severity) == ("LOW_SUCCESS_RATE", "eu", "CRITICAL")
    assert (alert.first_minute, alert.opened_at) == (HOUR + 20 * MINUTE, HOUR + 23 * MINUTE)
    assert alert.resolved_at == HOUR + 27 * MINUTE
    assert alert.value == pytest.approx(0.4)
    assert alert.baseline == pytest.approx(0.95)
    assert alert.message == "eu: 40.0% of downloads succeeded for three minutes; usual are 95.0%"
    assert list_anomalies(engine, app_id="app-2") == []
    assert open_state(engine).judged_before == HOUR + 27 * MINUTE


@pytest.mark.feature("S4-7")
def test_a_restart_hours_into_an_outage_neither_ends_the_alert_nor_takes_the_outage_for_usual(engine: Engine) -> None:
    # Regression: the judge warmed up on the outage's own minutes and took three of them for healthy ones.
    write(engine, 0, *[95] * 30, *[40] * 150)
    AnomalyWatch(engine, WINDOWS_QUERY).judge_until(HOUR + 100.5 * MINUTE)
    assert AnomalyWatch(engine, WINDOWS_QUERY).judge_until(HOUR + 180.5 * MINUTE) == []
    [alert] = list_anomalies(engine)
    assert (alert.opened_at, alert.resolved_at) == (HOUR + 33 * MINUTE, None)

    write(engine, 180, 95, 95, 95, 40, 40, 40)
    AnomalyWatch(engine, WINDOWS_QUERY).judge_until(HOUR + 186.5 * MINUTE)
    again, first = list_anomalies(engine)
    assert (first.resolved_at, again.first_minute) == (HOUR + 183 * MINUTE, HOUR + 183 * MINUTE)
    assert again.baseline == pytest.approx(0.95)


def test_a_watch_whose_transaction_failed_judges_the_same_minutes_again(engine: Engine) -> None:
    write(engine, 0, *[95] * 20, 40, 40, 40)
    watch = AnomalyWatch(engine, WINDOWS_QUERY)
    watch.judge_until(HOUR + 20 * MINUTE)
    with engine.begin() as connection:
        connection.execute(sa.text("alter table live.anomalies rename to away"))
    with pytest.raises(sa.exc.ProgrammingError):
        watch.judge_until(HOUR + 24 * MINUTE)
    with engine.begin() as connection:
        connection.execute(sa.text("alter table live.away rename to anomalies"))
    assert len(watch.judge_until(HOUR + 24 * MINUTE)) == 1
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(anomalies)).scalar() == 1
