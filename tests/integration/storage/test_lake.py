"""The lake as every session attaches it."""

import duckdb
import pytest

from storage.lake import open_lake
from storage.settings import StorageSettings

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("fault", ["nobody listens", "another password"])
def test_a_catalog_that_refuses_is_named_without_its_password(fault: str, storage_settings: StorageSettings) -> None:
    # Regression: DuckDB repeats the address in its errors, which the log and the run's events then held.
    server = storage_settings.database_url.rpartition("@")[2]
    place = "127.0.0.1:1/lake" if fault == "nobody listens" else server
    settings = storage_settings.model_copy(update={"database_url": f"postgresql://stranger:top'secret@{place}"})
    with pytest.raises(duckdb.Error) as caught, open_lake(settings):
        pass
    assert "stranger" in str(caught.value), "the address stands there"
    assert "secret" not in str(caught.value).replace("META_SECRET", "")
