"""Fixtures that the tests of several packages need: real servers for a session, a database per test. Builders: tests/fixtures."""

import os
from collections.abc import Iterator
from unittest import mock

import pytest
import structlog

from tests.fixtures.servers import (
    database_url,
    extensions_dir,
    jars,
    kafka_bootstrap,
    migrated_database,
    postgres_url,
    storage_settings,
)

OUTSIDE_NAMES = {
    "DAGSTER_HOME",
    "ENVIRONMENT",
    "DATABASE_URL",
    "S3_BUCKET",
    "DYNAMODB_TABLE",
    "AWS_REGION",
    "AWS_PROFILE",
} | {f"KAFKA_{name}" for name in ("BOOTSTRAP_SERVERS", "TOPIC", "DLQ_TOPIC", "CONSUMER_GROUP")}

pytest_plugins = ["tests.fixtures.features", "tests.fixtures.shares"]

__all__ = [
    "database_url",
    "extensions_dir",
    "jars",
    "kafka_bootstrap",
    "migrated_database",
    "postgres_url",
    "storage_settings",
]


def pytest_configure() -> None:
    """Forgets a stack that the shell knows (`eval "$(tidemark env)"`): tests start their own and never touch a running one."""
    for name in [*os.environ]:
        if name in OUTSIDE_NAMES or (
            name.startswith("TIDEMARK_") and name != "TIDEMARK_CACHE" and "_TEST_" not in name
        ):
            del os.environ[name]


@pytest.fixture(autouse=True)
def _environment_as_before() -> Iterator[None]:
    """Undoes what a run in this process told dbt through the environment."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Undoes what a command in this process told structlog: its standard error is closed by now."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
