"""A second lake beside the first, for comparisons."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from storage.settings import StorageSettings
from tests.fixtures.lakehouse import Lakehouse, open_lakehouse


@pytest.fixture
def make_lakehouse(
    storage_settings: StorageSettings, postgres_url: str, tmp_path: Path
) -> Iterator[Callable[[], Lakehouse]]:
    """Makes further empty lakes on the same server."""
    made: list[Lakehouse] = []

    def make() -> Lakehouse:
        name = f"twin_{tmp_path.name}_{len(made)}".replace("-", "_").lower()[:60]
        connection = psycopg2.connect(postgres_url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'drop database if exists "{name}" with (force)')
            cursor.execute(f'create database "{name}"')
        connection.close()
        root = tmp_path / name
        settings = storage_settings.model_copy(
            update={
                "database_url": postgres_url.rsplit("/", 1)[0] + f"/{name}",
                "bronze_uri": str(root / "bronze"),
                "lake_uri": str(root / "lake"),
                "builds_dir": root / "builds",
            }
        )
        made.append(open_lakehouse(settings, checks=False))  # of a build that is compared, the other side is checked
        return made[-1]

    yield make
    for lakehouse in made:
        lakehouse.engine.dispose()
