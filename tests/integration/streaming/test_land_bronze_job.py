"""The driver as a process: killed with -9 on either side of its bridge, stopped, refused, recovered. No offset is lost or doubled.

TIDEMARK_TEST_KILLS sets the number of kills (2: one of each side; the long run uses 20).
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from deltalake import DeltaTable

from storage.control.engine import make_engine
from storage.control.heartbeats import read_all
from storage.settings import TOPIC_VARIABLES, StorageSettings
from streaming.settings import StreamingSettings
from tests.integration.streaming.landing_bench import produce_events, read_broker, read_bronze, read_stamps

pytestmark = pytest.mark.integration

KILLS = int(os.environ.get("TIDEMARK_TEST_KILLS", "2"))
STEP_TIMEOUT_SECONDS = 240


class Driver:
    """`python -m MODULE` with a log file."""

    def __init__(self, environment: dict[str, str], log: Path, module: str = "streaming.jobs.land_bronze") -> None:
        self._environment = environment
        self._module = module
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                env=self._environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def find_jvm(self) -> psutil.Process:
        """The JVM, once it is there."""
        assert self.process is not None
        deadline = time.monotonic() + STEP_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if child.name() == "java":
                        return child
            assert self.process.poll() is None, self.read_log()
            time.sleep(0.1)
        raise AssertionError(self.read_log())

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(STEP_TIMEOUT_SECONDS)

    def read_log(self) -> str:
        return self.log.read_text()[-4000:]


def make_environment(storage: StorageSettings, settings: StreamingSettings, database_url: str) -> dict[str, str]:
    return {
        **os.environ,
        "TIDEMARK_KAFKA_BOOTSTRAP_SERVERS": storage.kafka_bootstrap_servers,
        **{TOPIC_VARIABLES[role]: name for role, name in storage.topics.by_role.items()},
        "TIDEMARK_STORAGE_BRONZE_URI": storage.bronze_uri,
        "TIDEMARK_STORAGE_DATABASE_URL": database_url,
        "TIDEMARK_STREAMING_JARS": settings.jars,
        "TIDEMARK_STREAMING_CLASS_ARCHIVE": settings.class_archive,
        "TIDEMARK_STREAMING_CHECKPOINT_DIR": settings.checkpoint_dir,
        "TIDEMARK_STREAMING_DRIVER_MEMORY_MB": "768",
        "TIDEMARK_STREAMING_DRIVER_JAVA_OPTIONS": settings.driver_java_options,
        "TIDEMARK_STREAMING_HEARTBEAT_SECONDS": "0.5",
        "TIDEMARK_STREAMING_TRIGGER_SECONDS": "0.3",
        # Small batches: a kill meets the middle of one.
        "TIDEMARK_STREAMING_MAX_OFFSETS_LIVE": "2000",
        "TIDEMARK_STREAMING_MAX_OFFSETS_IMPORT": "2000",
    }


def count_commits(bronze_uri: str) -> int:
    return len(list(Path(bronze_uri, "_delta_log").glob("*.json")))


def count_rows(bronze_uri: str) -> int:
    """By the statistics of its live files."""
    actions = DeltaTable(bronze_uri).get_add_actions(flatten=True)
    return sum(actions.column(actions.schema.names.index("num_records")).to_pylist())


def wait_for(condition, driver: Driver) -> None:
    deadline = time.monotonic() + STEP_TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, driver.read_log()
        assert driver.process is not None
        assert driver.process.poll() is None, driver.read_log()
        time.sleep(0.1)


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def driver(
    own_topics: StorageSettings,
    base_settings: StreamingSettings,
    storage_settings: StorageSettings,
    tmp_path: Path,
) -> Iterator[Driver]:
    settings = base_settings.model_copy(update={"checkpoint_dir": str(tmp_path / "checkpoints")})
    environment = make_environment(own_topics, settings, storage_settings.database_url)
    driver = Driver(environment, tmp_path / "driver.log")
    yield driver
    if driver.process is not None and driver.process.poll() is None:
        driver.process.kill()
        driver.process.wait()


@pytest.mark.feature("S0-10", "S1-10")
@pytest.mark.timeout(900)
def test_kills_stops_and_a_lost_checkpoint_leave_every_offset_exactly_once(
    driver: Driver, own_topics: StorageSettings, storage_settings: StorageSettings, tmp_path: Path
) -> None:
    bootstrap, bronze_uri = own_topics.kafka_bootstrap_servers, own_topics.bronze_uri

    for kill in range(KILLS):
        produce_events(bootstrap, own_topics.live_topic, 6_000)
        produce_events(bootstrap, own_topics.import_topic, 4_000, days=3)
        before = count_commits(bronze_uri)
        driver.start()
        wait_for(lambda before=before: count_commits(bronze_uri) > before + 1, driver)
        jvm = driver.find_jvm()  # not sooner: spark-submit starts a short-lived JVM of its own first
        time.sleep(0.15 * kill)
        if kill % 2:
            # The JVM's end must end the Python side, so that the supervisor sees it.
            jvm.kill()
            assert driver.wait() == 1
        else:
            assert driver.process is not None
            driver.process.kill()
            driver.wait()
        psutil.wait_procs([jvm], timeout=STEP_TIMEOUT_SECONDS)
        assert is_gone(jvm), "the JVM outlived its driver"

    # A stop in the middle of work ends with 0.
    driver.start()
    before = count_commits(bronze_uri)
    wait_for(lambda: count_commits(bronze_uri) > before, driver)
    assert driver.process is not None
    driver.process.send_signal(signal.SIGTERM)
    assert driver.wait() == 0, driver.read_log()
    engine = make_engine(storage_settings, pool_size=1)
    [beat] = [beat for beat in read_all(engine) if beat.name == "land_bronze"]
    engine.dispose()
    assert beat.details["state"] == "stopping"
    assert set(beat.details["lag"]) == set(own_topics.topics.landed)

    # A lost checkpoint: refused with its own exit code and the remedy, then recovered.
    shutil.rmtree(tmp_path / "checkpoints")
    driver.start()
    assert driver.wait() == 78
    assert "tidemark recover land-bronze" in driver.read_log()
    recovered = subprocess.run(
        [sys.executable, "-c", RECOVER, "recover", "land-bronze", "--json"],
        env=driver._environment,
        capture_output=True,
        text=True,
        timeout=STEP_TIMEOUT_SECONDS,
        check=False,
    )
    assert recovered.returncode == 0, recovered.stderr
    assert json.loads(recovered.stdout)["performed"] is True

    produce_events(bootstrap, own_topics.live_topic, 100)
    expected = read_broker(bootstrap, own_topics.topics.landed)
    driver.start()
    wait_for(lambda: count_commits(bronze_uri) > 0 and count_rows(bronze_uri) >= len(expected), driver)
    driver.process.send_signal(signal.SIGTERM)
    assert driver.wait() == 0, driver.read_log()

    assert read_bronze(bronze_uri) == expected
    stamps = read_stamps(bronze_uri)
    assert stamps == sorted(set(stamps))


# The command alone: cli.main brings every other command's imports.
RECOVER = "import typer; from cli.recover import register; app = typer.Typer(); app.callback()(lambda: None); register(app); app()"
