"""A stack whose topics are named otherwise than when it took events in stops before any service starts."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from storage.control import acknowledged, make_engine
from storage.settings import StorageSettings

pytestmark = pytest.mark.integration


def initialise(settings: StorageSettings, **changes: str) -> "subprocess.CompletedProcess[str]":
    """The first step of every start, that all services wait for."""
    environment = {
        **os.environ,
        "TIDEMARK_HOME": str(settings.builds_dir.parent / "home"),
        "TIDEMARK_STORAGE_DATABASE_URL": settings.database_url,
        "TIDEMARK_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        **changes,
    }
    argv = [sys.executable, "-m", "local_stack.initialise", "database"]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.feature("S0-4")
def test_acknowledged_events_in_a_topic_that_no_setting_names_keep_a_stack_from_starting(
    storage_settings: StorageSettings,
) -> None:
    engine = make_engine(storage_settings, pool_size=1)
    acknowledged.add(engine, [("demo", datetime(2026, 1, 1, tzinfo=UTC), "acme.events", 3)])
    engine.dispose()

    refused = initialise(storage_settings)
    assert refused.returncode == 1
    [line] = refused.stderr.strip().splitlines()
    assert line.startswith("events were taken in by topic acme.events, which no setting names")
    assert "TIDEMARK_KAFKA_TOPIC" in line
    assert "TIDEMARK_HOME" in line

    started = initialise(storage_settings, KAFKA_TOPIC="acme.events")
    assert started.returncode == 0, started.stderr
