"""Verification while retention expires publications: what is gone by then was kept before, and is no offence."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from storage import publications
from storage.lake import create_missing_tables, open_lake
from storage.settings import StorageSettings
from storage.verification.publication_order import check_snapshots
from tests.fixtures.lake_writer import Event, LakeWriter

pytestmark = [pytest.mark.integration, pytest.mark.feature("K10")]
T0 = datetime(2026, 1, 5, 10, tzinfo=UTC)


@pytest.fixture
def writer(storage_settings: StorageSettings) -> Iterator[LakeWriter]:
    made = LakeWriter(storage_settings)
    yield made
    made.engine.dispose()


def test_a_publication_that_expires_meanwhile_is_no_offence_and_a_lost_file_is(writer: LakeWriter) -> None:
    # Regression: the list of publications is some minutes old when they are opened, and every hour some of them expire.
    create_missing_tables(writer.settings)
    first, second, third = (writer.publish([Event(T0, user_id=f"u{n}")]) for n in range(3))
    kept = publications.listing(writer.engine)
    writer.expire(second.snapshot_id)

    def offences() -> list[str]:
        with open_lake(writer.settings) as session:
            return list(
                check_snapshots(
                    session,
                    kept,
                    writer.settings.lake_uri,
                    lambda number: publications.find(writer.engine, number) is not None,
                )
                .check()
                .offending
            )

    assert offences() == []
    for file in Path(writer.settings.lake_uri).rglob("*.parquet"):
        file.unlink()
    assert {text.partition(":")[0] for text in offences()} == {
        f"publication {item.publication_id}" for item in (first, third)
    }
