"""A world of its own for each test of the checker."""

from collections.abc import Iterator

import pytest

from storage.control import make_engine
from storage.settings import StorageSettings
from tests.integration.verification.world import World, create_lake


@pytest.fixture
def world(storage_settings: StorageSettings) -> Iterator[World]:
    """An empty platform with its lake."""
    create_lake(storage_settings)
    engine = make_engine(storage_settings)
    yield World(storage_settings, engine)
    engine.dispose()
