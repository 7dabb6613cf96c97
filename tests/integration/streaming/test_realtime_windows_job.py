"""The driver of the live windows as a process, killed with -9 in the middle of batches: every event counts exactly once afterwards.

It reads a topic that begins with every kind of poison.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine, func, select

from ingestion.contracts.topics import LIVE_TOPIC
from storage.control.engine import make_engine
from storage.control.heartbeats import read_all
from storage.live.state import open_state
from storage.live.tables import minutes
from storage.settings import StorageSettings
from streaming.settings import StreamingSettings
from tests.fixtures.live_records import Sent, click, counts_of, download, expected_minutes
from tests.integration.streaming.landing_bench import produce
from tests.integration.streaming.test_land_bronze_job import STEP_TIMEOUT_SECONDS, Driver, make_environment, wait_for
from tests.integration.streaming.test_poison import TABLE

pytestmark = pytest.mark.integration


def make_events(app_id: str, seed: int, count: int) -> list[Sent]:
    """Of the last minutes, with copies, some of them across kills."""
    draw, now = random.Random(seed), datetime.now(UTC)
    made: list[Sent] = []
    for n in range(count):
        at, user = now - timedelta(seconds=draw.uniform(0, 200)), f"u{draw.randrange(300)}"
        if n % 3:
            made.append(click(f"{seed}-{n}", at, user, draw.choice(["web", "ios"]), app_id=app_id))
        else:
            made.append(download(f"{seed}-{n}", at, region=draw.choice(["eu", "us"]), user_id=user, app_id=app_id))
        if draw.random() < 0.1:
            made.append(draw.choice(made))
    return made


def send(to: StorageSettings, events: list[Sent]) -> None:
    produce(
        to.kafka_bootstrap_servers,
        [(to.live_topic, event.user_id.encode(), event.value, list(event.headers())) for event in events],
    )


def send_poison(to: StorageSettings) -> None:
    poison = [(to.live_topic, item.key, item.value, item.record_headers) for item in TABLE if item.topic == LIVE_TOPIC]
    produce(to.kafka_bootstrap_servers, poison)


@pytest.fixture
def engine(storage_settings: StorageSettings) -> Iterator[Engine]:
    made = make_engine(storage_settings, pool_size=2)
    yield made
    made.dispose()


@pytest.fixture
def driver(
    own_topics: StorageSettings,
    base_settings: StreamingSettings,
    storage_settings: StorageSettings,
    tmp_path: Path,
) -> Iterator[Driver]:
    environment = make_environment(own_topics, base_settings, storage_settings.database_url) | {
        "TIDEMARK_STREAMING_WINDOWS_CHECKPOINT_DIR": str(tmp_path / "live"),
        "TIDEMARK_STREAMING_WINDOWS_TRIGGER_SECONDS": "0.2",
        # Small batches: a kill meets the middle of one.
        "TIDEMARK_STREAMING_WINDOWS_MAX_OFFSETS": "1500",
    }
    driver = Driver(environment, tmp_path / "driver.log", "streaming.jobs.realtime_windows")
    yield driver
    if driver.process is not None and driver.process.poll() is None:
        driver.process.kill()
        driver.process.wait()


def check_kills(driver: Driver, to: StorageSettings, engine: Engine, kills: int) -> None:
    app_id = f"killed-{kills}-times"
    sent: list[Sent] = []
    send_poison(to)
    for kill in range(kills):
        more = make_events(app_id, kill, 3000)
        # What was sent before the kill comes again.
        more += sent[-50:]
        send(to, more)
        sent += more
        before = open_state(engine).last_batch
        driver.start()
        wait_for(lambda before=before: open_state(engine).last_batch not in (before, None), driver)
        jvm = driver.find_jvm()
        time.sleep(0.1 * (kill % 7))
        assert driver.process is not None
        if kill % 2:
            jvm.kill()
            assert driver.wait() == 1
        else:
            driver.process.kill()
            driver.wait()
        psutil.wait_procs([jvm], timeout=STEP_TIMEOUT_SECONDS)

    driver.start()
    expected = expected_minutes(sent)
    wait_for(lambda: events_of(engine, app_id) >= sum(expected.values()), driver)
    assert driver.process is not None
    driver.process.send_signal(signal.SIGTERM)
    assert driver.wait() == 0, driver.read_log()
    assert of_app(engine, app_id) == expected


def events_of(engine: Engine, app_id: str) -> int:
    statement = select(func.coalesce(func.sum(minutes.c.event_count), 0)).where(minutes.c.app_id == app_id)
    with engine.connect() as connection:
        return int(connection.execute(statement).scalar_one())


def of_app(engine: Engine, app_id: str) -> dict[object, int]:
    return {key: count for key, count in counts_of(engine).items() if key[1] == app_id}


@pytest.mark.timeout(900)
@pytest.mark.feature("S0-10", "S1-10", "S4-15")
@pytest.mark.feature("S0-12")
def test_a_kill_in_a_batch_leaves_every_event_counted_once(
    driver: Driver, own_topics: StorageSettings, engine: Engine
) -> None:
    check_kills(driver, own_topics, engine, 1)
    [beat] = [beat for beat in read_all(engine) if beat.name == "realtime_windows"]
    assert beat.details["state"] == "stopping"
    assert beat.details["dropped_by_watermark"] == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.feature("S0-10")
def test_twenty_kills_leave_every_event_counted_once(
    driver: Driver, own_topics: StorageSettings, engine: Engine
) -> None:
    check_kills(driver, own_topics, engine, int(os.environ.get("TIDEMARK_TEST_KILLS", "20")))
