"""One broker and one Spark session for all tests of landing; every test has its own bronze and checkpoint folder.

The broker is not the session's: a test here recreates a topic, and every test lands all records from the first one on.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from local_stack.broker import running_broker
from local_stack.class_archive import archive_file
from local_stack.jars import Jars
from local_stack.topics import create_topics
from storage.control.engine import make_engine
from storage.settings import StorageSettings
from streaming.settings import StreamingSettings
from tests.integration.streaming.landing_bench import LandingBench
from tests.integration.streaming.live_bench import LiveBench

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="package")
def landing_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker for the tests of landing alone."""
    with running_broker(tmp_path_factory.mktemp("landing_broker")) as bootstrap:
        create_topics(bootstrap)
        yield bootstrap


@pytest.fixture(scope="package")
def base_settings(jars: Jars, tmp_path_factory: pytest.TempPathFactory) -> StreamingSettings:
    """Settings of the shared session. Tests copy them with their own checkpoint folder."""
    folder = tmp_path_factory.mktemp("spark")
    return StreamingSettings(
        jars=":".join(str(jar) for jar in jars.spark),
        class_archive=str(archive_file()),
        checkpoint_dir=str(folder / "unused"),
        scratch_dir=str(folder / "scratch"),
        driver_memory_mb=768,
        # The optimising compiler costs a short-lived JVM half its CPU time and gives nothing back.
        driver_java_options="-XX:TieredStopAtLevel=1",
        trigger_seconds=0.1,
        import_trigger_seconds=0.1,
        compact_every_seconds=0,
    )


@pytest.fixture(scope="package")
def spark(base_settings: StreamingSettings) -> Iterator["SparkSession"]:
    """The shared session."""
    from streaming.session import build_spark

    session = build_spark(base_settings, "tidemark-tests")
    yield session
    session.stop()


@pytest.fixture
def landing_storage(landing_bootstrap: str, extensions_dir: Path, tmp_path: Path) -> StorageSettings:
    """An own bronze over the shared broker."""
    return StorageSettings(
        bronze_uri=str(tmp_path / "bronze" / "events"),
        builds_dir=tmp_path / "builds",
        kafka_bootstrap_servers=landing_bootstrap,
        extensions_dir=extensions_dir,
    )


@pytest.fixture
def own_topics(landing_storage: StorageSettings) -> StorageSettings:
    """Topics of the test's own: the many records of a driver's test need not be landed by every test after it."""
    mark = uuid4().hex[:8]
    own = landing_storage.model_copy(
        update={f"{role}_topic": f"{role}.{mark}" for role in ("live", "import", "dead_letter", "downloads")}
    )
    create_topics(own.kafka_bootstrap_servers, own.topics.specs)
    return own


@pytest.fixture
def bench(
    spark: "SparkSession", landing_storage: StorageSettings, base_settings: StreamingSettings, tmp_path: Path
) -> Iterator[LandingBench]:
    """Lands what the broker holds, as often as a test asks."""
    settings = base_settings.model_copy(update={"checkpoint_dir": str(tmp_path / "checkpoints")})
    bench = LandingBench(spark, landing_storage, settings)
    yield bench
    bench.close()


@pytest.fixture
def live_bench(
    spark: "SparkSession",
    landing_bootstrap: str,
    storage_settings: StorageSettings,
    base_settings: StreamingSettings,
    tmp_path: Path,
) -> Iterator[LiveBench]:
    """Live windows over a topic and a database of the test's own."""
    storage = storage_settings.model_copy(update={"kafka_bootstrap_servers": landing_bootstrap})
    engine = make_engine(storage, pool_size=2)
    settings = base_settings.model_copy(
        update={"windows_checkpoint_dir": str(tmp_path / "live"), "windows_trigger_seconds": 0.1}
    )
    bench = LiveBench(spark, engine, storage, settings, f"live.{uuid4().hex}")
    yield bench
    bench.close()
    engine.dispose()
