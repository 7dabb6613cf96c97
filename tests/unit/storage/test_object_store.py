"""AWS_REGION and AWS_PROFILE as an object store sees them: by what DuckDB and delta-rs sign their requests with."""

import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import duckdb
import pytest

from storage.bronze import latest_version
from storage.duckdb_session import open_session
from storage.object_store import ObjectStoreError, read_access, with_profile
from storage.settings import StorageSettings

CONFIG = """
[profile lake]
region = eu-north-1
endpoint_url = {url}
[profile keyless]
region = eu-west-3
"""
CREDENTIALS = """
[lake]
aws_access_key_id = PROFILEKEY
aws_secret_access_key = profile-secret
"""


class EmptyStore(BaseHTTPRequestHandler):
    """An object store that holds nothing. Keeps who asked: key and region out of the signature."""

    signed_by: set[tuple[str, str]] = set()  # noqa: RUF012 - of the class

    def do_GET(self) -> None:
        found = re.search(r"Credential=([^/]+)/\d+/([^/]+)/s3/", self.headers.get("Authorization", ""))
        self.signed_by.add((found[1], found[2]) if found else ("", ""))
        is_list = "list-type=2" in self.path
        body = b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>" if is_list else b""
        self.send_response(200 if is_list else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def store() -> Iterator[str]:
    """The address of an empty store."""
    EmptyStore.signed_by.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), EmptyStore)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _profiles(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(CONFIG.format(url=store))
    (tmp_path / "credentials").write_text(CREDENTIALS)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def signatures(tmp_path: Path) -> set[tuple[str, str]]:
    """Key and region of every request that DuckDB and delta-rs make for an empty bucket."""
    settings = StorageSettings(
        bronze_uri="s3://bucket/bronze", lake_uri="s3://bucket/lake", extensions_dir=tmp_path, builds_dir=tmp_path
    )
    with open_session(settings) as session, pytest.raises(duckdb.Error):
        session.execute("select * from read_parquet('s3://bucket/lake/a.parquet')")
    by_duckdb = set(EmptyStore.signed_by)
    EmptyStore.signed_by.clear()
    assert latest_version(settings) is None
    assert EmptyStore.signed_by == by_duckdb
    return by_duckdb


@pytest.mark.feature("S2-14")
def test_the_profile_gives_keys_region_and_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "lake")
    assert signatures(tmp_path) == {("PROFILEKEY", "eu-north-1")}


@pytest.mark.feature("S2-14")
def test_a_region_that_is_given_beats_the_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "lake")
    monkeypatch.setenv("AWS_REGION", "eu-central-2")
    assert signatures(tmp_path) == {("PROFILEKEY", "eu-central-2")}


def test_keys_that_are_given_beat_the_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OWNKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own-secret")
    access = read_access(StorageSettings(aws_profile="lake"))
    assert (access["AWS_ACCESS_KEY_ID"], access["AWS_SECRET_ACCESS_KEY"]) == ("OWNKEY", "own-secret")
    assert access["AWS_REGION"] == "eu-north-1"


def test_a_profile_without_keys_gives_what_it_has() -> None:
    assert "AWS_ACCESS_KEY_ID" not in (access := with_profile({"AWS_PROFILE": "keyless"}))
    assert access["AWS_REGION"] == "eu-west-3"


def test_a_profile_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ObjectStoreError, match=r"AWS_PROFILE=nobody cannot be used: .* or unset it"):
        read_access(StorageSettings(aws_profile="nobody"))
