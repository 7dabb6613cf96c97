"""A lake that tests of this folder share: making one takes seconds. Every test has days of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.postgres import create_database
from storage.control import migrate
from storage.lake import create_missing_tables
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import write_bronze
from tests.fixtures.lake_writer import LakeWriter
from tests.integration.storage.parity_bench import Both


@pytest.fixture(scope="package")
def shared_writer(
    postgres_url: str, extensions_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LakeWriter]:
    """Bronze begins with an empty commit, so that its version is the number of events when each lands alone."""
    folder: Path = tmp_path_factory.mktemp("shared_lake")
    settings = StorageSettings(
        database_url=create_database(postgres_url, "shared_lake"),
        bronze_uri=str(folder / "bronze" / "events"),
        lake_uri=str(folder / "lake"),
        builds_dir=folder / "builds",
        extensions_dir=extensions_dir,
    )
    migrate(settings)
    create_missing_tables(settings)
    write_bronze(settings.bronze_uri, [])
    writer = LakeWriter(settings)
    yield writer
    writer.engine.dispose()


@pytest.fixture
def both(storage_settings: StorageSettings) -> Iterator[Both]:
    """Live tables and a lake of the test's own."""
    opened = Both(storage_settings)
    yield opened
    opened.engine.dispose()
