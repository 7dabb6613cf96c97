"""The driver of the live windows as a process, killed with -9 in the middle of batches: every event counts exactly once afterwards.

It reads the shared topic from its first record on, poison of other tests included; its own events have an app of their own.
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
from sqlalchemy import Engine

from ingestion.contracts.topics import LIVE_TOPIC
from storage.control.engine import make_engine
from storage.control.heartbeats import read_all
from storage.live.state import open_state
from storage.settings import StorageSettings
from streaming.settings import StreamingSettings
from tests.fixtures.live_records import Sent, click, counts_of, download, expected_minutes
from tests.integration.streaming.landing_bench import produce
from tests.integration.streaming.test_land_bronze_job import STEP_TIMEOUT_SECONDS, Driver, make_environment, wait_for

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


def send(bootstrap: str, events: list[Sent]) -> None:
    produce(bootstrap, [(LIVE_TOPIC, event.user_id.encode(), event.value, list(event.headers())) for event in events])


@pytest.fixture
def engine(storage_settings: StorageSettings) -> Iterator[Engine]:
    made = make_engine(storage_settings, pool_size=2)
    yield made
    made.dispose()


@pytest.fixture
def driver(
    landing_storage: StorageSettings,
    base_settings: StreamingSettings,
    storage_settings: StorageSettings,
    tmp_path: Path,
) -> Iterator[Driver]:
    environment = make_environment(landing_storage, base_settings, storage_settings.database_url) | {
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


def check_kills(driver: Driver, bootstrap: str, engine: Engine, kills: int) -> None:
    app_id = f"killed-{kills}-times"  # the topic and the tables are those of other tests too
    sent: list[Sent] = []
    for kill in range(kills):
        more = make_events(app_id, kill, 3000)
        # What was sent before the kill comes again.
        more += sent[-50:]
        send(bootstrap, more)
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
    wait_for(lambda: sum(of_app(engine, app_id).values()) >= sum(expected.values()), driver)
    assert driver.process is not None
    driver.process.send_signal(signal.SIGTERM)
    assert driver.wait() == 0, driver.read_log()
    assert of_app(engine, app_id) == expected


def of_app(engine: Engine, app_id: str) -> dict[object, int]:
    return {key: count for key, count in counts_of(engine).items() if key[1] == app_id}


@pytest.mark.timeout(900)
@pytest.mark.feature("S0-10", "S1-10", "S4-15")
@pytest.mark.feature("S0-12")
def test_a_kill_in_a_batch_leaves_every_event_counted_once(
    driver: Driver, landing_storage: StorageSettings, engine: Engine
) -> None:
    check_kills(driver, landing_storage.kafka_bootstrap_servers, engine, 1)
    [beat] = [beat for beat in read_all(engine) if beat.name == "realtime_windows"]
    assert beat.details["state"] == "stopping"
    assert beat.details["dropped_by_watermark"] == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.feature("S0-10")
def test_twenty_kills_leave_every_event_counted_once(
    driver: Driver, landing_storage: StorageSettings, engine: Engine
) -> None:
    check_kills(
        driver, landing_storage.kafka_bootstrap_servers, engine, int(os.environ.get("TIDEMARK_TEST_KILLS", "20"))
    )
