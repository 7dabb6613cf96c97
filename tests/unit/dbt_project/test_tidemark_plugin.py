"""The plugin's settings and statements: what a run may say, and what becomes of it."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dbt_common.exceptions import DbtRuntimeError
from pydantic import ValidationError

sys.path.append(str(Path(__file__).parents[3] / "dbt_project" / "plugins"))

from tidemark_plugin import (
    BuildSettings,
    attach_statement,
    bronze_view_statement,
    object_store_secret,
    with_profile,
    without_password,
)

from storage.object_store import object_store_secret as storage_secret
from storage.object_store import with_profile as storage_profile


def _settings(**changes: object) -> BuildSettings:
    return BuildSettings.model_validate({"catalog": "postgresql://tidemark@localhost/lake", "snapshot": 7, **changes})


def test_hours_are_utc_sorted_and_distinct() -> None:
    settings = _settings(hours=["2026-01-01T13:00:00+02:00", "2026-01-01T10:00:00", "2026-01-01T11:00:00Z"])

    assert settings.hours == [datetime(2026, 1, 1, 10, tzinfo=UTC), datetime(2026, 1, 1, 11, tzinfo=UTC)]


def test_an_hour_that_is_not_full_is_refused() -> None:
    with pytest.raises(ValidationError, match="2026-01-01T10:30:00\\+00:00 is not a full hour"):
        _settings(hours=["2026-01-01T10:30:00Z"])


def test_a_build_file_of_another_name_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"named other\.duckdb"):
        _settings(file="/tmp/other.duckdb")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_BUILD_BRONZE_VERSION", "12")
    monkeypatch.setenv("TIDEMARK_BUILD_HOURS", '["2026-01-01T10:00:00Z"]')

    settings = BuildSettings()
    assert (settings.bronze_version, len(settings.hours)) == (12, 1)


def test_the_lake_is_attached_read_only_at_the_base() -> None:
    assert attach_statement(_settings(), "user=tidemark host=localhost") == (
        "ATTACH IF NOT EXISTS 'ducklake:postgres:user=tidemark host=localhost' AS lake "
        "(READ_ONLY, METADATA_SCHEMA 'lake_catalog', SNAPSHOT_VERSION 7)"
    )


def test_a_catalog_file_and_another_data_folder_are_taken_too() -> None:
    settings = _settings(catalog="/data/it's.ducklake", snapshot=None, lake_uri="/data/lake")

    assert attach_statement(settings, *without_password("/data/it's.ducklake")[:1]) == (
        "ATTACH IF NOT EXISTS 'ducklake:/data/it''s.ducklake' AS lake (READ_ONLY, DATA_PATH '/data/lake', OVERRIDE_DATA_PATH true)"
    )


@pytest.mark.parametrize(
    "catalog",
    [
        "postgresql://tide:p%40ss'word@localhost:5/lake?connect_timeout=5",
        r"user=tide password=p@ss\'word host=localhost port=5",
    ],
)
def test_a_password_is_no_part_of_the_address(catalog: str) -> None:
    address, password = without_password(catalog)

    assert password == "p@ss'word"
    assert "p@ss" not in address
    assert {"user=tide", "host=localhost", "port=5"} <= set(address.split())
    assert attach_statement(_settings(), address, has_password=True).endswith(
        "META_SECRET 'lake_catalog', SNAPSHOT_VERSION 7)"
    )


@pytest.mark.parametrize(("version", "argument"), [(None, ""), (0, ", version => 0"), (5, ", version => 5")])
def test_bronze_is_a_view_at_its_version(version: int | None, argument: str) -> None:
    settings = _settings(bronze_uri="/data/bronze", bronze_version=version)

    assert bronze_view_statement(settings).endswith(f"FROM delta_scan('/data/bronze'{argument})")


def test_the_object_store_secret_names_what_the_environment_has() -> None:
    environment = {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "se'cret",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
    }
    secret = object_store_secret(environment)

    assert secret == storage_secret(environment)
    assert secret == (
        "CREATE OR REPLACE SECRET object_store (TYPE s3, KEY_ID 'id', SECRET 'se''cret', "
        "ENDPOINT '127.0.0.1:9000', URL_STYLE 'path', USE_SSL false)"
    )


@pytest.mark.feature("S2-14")
def test_a_profile_is_read_as_by_the_other_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "credentials").write_text(
        "[lake]\naws_access_key_id = id\naws_secret_access_key = secret\nregion = r\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    environment = {"AWS_PROFILE": "lake", "AWS_SESSION_TOKEN": ""}

    assert with_profile(environment) == storage_profile(environment)
    assert with_profile(environment) == {
        "AWS_PROFILE": "lake",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "r",
    }
    with pytest.raises(DbtRuntimeError, match="AWS_PROFILE=nobody cannot be used"):
        with_profile({"AWS_PROFILE": "nobody"})
