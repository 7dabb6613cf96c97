"""The API as a process of its own against real parts, and a reader of what reached Kafka."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from storage.control import make_engine
from storage.settings import StorageSettings
from tests.integration.ingestion.processes import ApiProcess, running_api


@pytest.fixture
def engine(storage_settings: StorageSettings) -> Iterator[Engine]:
    """The control tables of this test."""
    engine = make_engine(storage_settings)
    yield engine
    engine.dispose()


@pytest.fixture
def api(kafka_bootstrap: str, storage_settings: StorageSettings) -> Iterator[ApiProcess]:
    """The API over the session's broker and the test's database."""
    with running_api(kafka_bootstrap, storage_settings.database_url) as process:
        yield process
