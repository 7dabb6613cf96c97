"""A world of its own for each test of the checker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.control import make_engine
from storage.settings import StorageSettings
from tests.integration.verification.world import World, create_lake


@pytest.fixture(scope="session")
def extensions_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DuckDB's extensions, unpacked once for all of these tests."""
    return tmp_path_factory.mktemp("duckdb_extensions")


@pytest.fixture
def world(storage_settings: StorageSettings, extensions_dir: Path) -> Iterator[World]:
    """An empty platform with its lake."""
    settings = storage_settings.model_copy(update={"extensions_dir": extensions_dir})
    create_lake(settings)
    engine = make_engine(settings)
    yield World(settings, engine)
    engine.dispose()
