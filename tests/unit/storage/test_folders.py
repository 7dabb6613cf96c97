"""Bronze and lake keep out of each other's folders: each deletes what it does not know."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from storage.settings import StorageSettings


@pytest.mark.parametrize(
    ("bronze", "lake"),
    [
        ("s3://bucket/bronze/events", "s3://bucket"),
        ("s3://bucket/lake/bronze/", "s3://bucket/lake/"),
        ("s3://bucket/all", "s3://bucket/all/lake"),
        ("data/lake/../lake/bronze", "data/lake"),
        ("data", "data"),
    ],
)
def test_one_within_the_other_is_refused(bronze: str, lake: str) -> None:
    # Regression: the lake's hourly clean-up deletes every Parquet file below its folder that it does not know.
    with pytest.raises(ValidationError, match="lie in each other"):
        StorageSettings(bronze_uri=bronze, lake_uri=lake)


@pytest.mark.parametrize(("bronze", "lake"), [("s3://b/lake_bronze", "s3://b/lake"), ("data/bronze", "data/lake")])
def test_beside_each_other_they_are_fine(
    bronze: str, lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert StorageSettings(bronze_uri=bronze, lake_uri=lake).lake_uri == lake
