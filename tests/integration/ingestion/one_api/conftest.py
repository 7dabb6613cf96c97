"""One API and one database for all tests of a file: each takes an app of its own, and none changes what the others see."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from storage.control import make_engine
from storage.settings import StorageSettings
from tests.fixtures.servers import own_settings
from tests.integration.ingestion.processes import ApiProcess, running_api


@pytest.fixture(scope="module")
def storage_settings(
    postgres_url: str, migrated_database: str, extensions_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> StorageSettings:
    """Settings over the file's database."""
    return own_settings(postgres_url, migrated_database, extensions_dir, tmp_path_factory.mktemp("one_api"))


@pytest.fixture(scope="module")
def engine(storage_settings: StorageSettings) -> Iterator[Engine]:
    """The control tables."""
    engine = make_engine(storage_settings)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def api(kafka_bootstrap: str, storage_settings: StorageSettings) -> Iterator[ApiProcess]:
    """The API over the session's broker and the file's database."""
    with running_api(kafka_bootstrap, storage_settings.database_url) as process:
        yield process
