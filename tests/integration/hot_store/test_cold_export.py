"""`tidemark export-cold`: bronze's bytes as files, local and in S3, the same however often."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.cold_export import FolderTarget, export_day, open_target, safe_name
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import IMPORT_TOPIC, engagement_row, write_bronze
from tests.fixtures.lakehouse import open_lakehouse
from tests.integration.hot_store.conftest import AWS

pytestmark = pytest.mark.integration
DAY = datetime(2026, 1, 5, tzinfo=UTC)
RAW = b'{\n  "event_type" : "click", "user_id": "u1",\r\n "platform": "web", "n": 1.0}'


def at(hours: float, offset: int, event_id: str, **changes: Any) -> Any:
    return engagement_row(offset, DAY + timedelta(hours=hours), event_id, **changes)


@pytest.fixture
def storage(storage_settings: StorageSettings) -> StorageSettings:
    """A day with copies, two apps with one id, odd ids, Avro, a rejected record, and neighbours of other days."""
    rows = [
        at(0, 0, "first", value=RAW),
        at(23.99, 1, "last"),
        at(-0.01, 2, "yesterday"),
        at(24, 3, "tomorrow"),
        at(3, 4, "first", value=b'{"another": "copy"}'),
        at(3, 5, "../../etc/Ünïcode ~ %2F\n", kafka_topic=IMPORT_TOPIC),
        at(3, 6, "x" * 1000),
        at(3, 7, "bad", rejection_reason="null_key"),
        at(3, 8, "avro", contract="download/1", value=b"\0\0\0\0\1abc"),
        at(3, 9, "last", app_id="other"),
        at(-20, 10, "copied"),
    ]
    write_bronze(storage_settings.bronze_uri, rows)
    # The first copy is of the day before: it is that day's event.
    write_bronze(storage_settings.bronze_uri, [at(5, 11, "copied", ingested_at=DAY + timedelta(days=1))])
    return storage_settings


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.mark.feature("S2-9")
def test_each_good_event_of_the_day_is_a_file_of_its_bytes(storage: StorageSettings, tmp_path: Path) -> None:
    done: list[int] = []
    found = export_day(storage, DAY.date(), FolderTarget(tmp_path / "cold"), progress=done.append)

    files = tree(tmp_path / "cold")
    folder = "events/2026/01/05/"
    assert files[f"{folder}first.json"] == RAW
    assert files[f"{folder}avro.avro"] == b"\0\0\0\0\1abc"
    assert set(files) == {
        f"{folder}first.json",
        f"{folder}last.json",
        f"{folder}last@public.json",
        f"{folder}avro.avro",
        f"{folder}{safe_name('../../etc/Ünïcode ~ %2F' + chr(10))}.json",
        f"{folder}{safe_name('x' * 1000)}.json",
    }
    assert (found.event_count, found.file_count, done[-1]) == (6, 6, 6)

    assert export_day(storage, DAY.date(), FolderTarget(tmp_path / "cold")) == found
    assert tree(tmp_path / "cold") == files, "again: the same tree"
    assert export_day(storage, DAY.date(), None) == found, "a dry run counts the same"


@pytest.mark.feature("S2-9")
@pytest.mark.parametrize(
    ("hours", "is_a_copy"), [(-7 * 24, True), (-7 * 24 - 0.01, False), (7 * 24, True), (7 * 24 + 0.01, False)]
)
def test_copies_are_what_they_are_in_silver_to_the_moment(
    storage_settings: StorageSettings, hours: float, is_a_copy: bool
) -> None:
    # Regression: whole dates were compared, so two events of one id 7 days and 23 hours apart were one.
    noon = 12
    write_bronze(storage_settings.bronze_uri, [at(noon + hours, 0, "twin", ingested_at=DAY - timedelta(days=30))])
    write_bronze(storage_settings.bronze_uri, [at(noon, 1, "twin")])

    assert export_day(storage_settings, DAY.date(), None).event_count == (0 if is_a_copy else 1)


@pytest.mark.feature("S2-9")
def test_a_copy_of_a_copy_is_a_copy(storage_settings: StorageSettings) -> None:
    # Silver's rule for chains: the third is too far from the first, but near the second, which landed before it.
    rows = [at(24 * 5 * number, number, "twin") for number in range(3)]
    write_bronze(storage_settings.bronze_uri, rows)

    counts = [
        export_day(storage_settings, DAY.date() + timedelta(days=5 * number), None).event_count for number in range(3)
    ]

    assert counts == [1, 0, 0]


@pytest.mark.feature("S2-9")
def test_of_a_repaired_event_the_repaired_record_is_written(storage_settings: StorageSettings, tmp_path: Path) -> None:
    # Regression: the refused body came first, so it was the event and the repaired one its copy: the archive lacked what gold counts.
    lakehouse = open_lakehouse(storage_settings, checks=False)
    moment = DAY + timedelta(hours=3)
    lakehouse.land([engagement_row(0, moment, "e1", value=b'{"event_type": "like"}'), engagement_row(1, moment, "e1")])
    before = export_day(storage_settings, DAY.date(), FolderTarget(tmp_path / "before"))
    lakehouse.note_arrivals()
    lakehouse.publish([moment])
    lakehouse.engine.dispose()
    after = export_day(storage_settings, DAY.date(), FolderTarget(tmp_path / "after"))
    assert before.event_count == after.event_count == 1
    assert tree(tmp_path / "before") != tree(tmp_path / "after")
    assert list(tree(tmp_path / "after").values()) == [engagement_row(1, moment, "e1").value]


@pytest.mark.feature("S2-9")
def test_compacted_it_is_one_object_per_hour_with_a_line_per_event(storage: StorageSettings, tmp_path: Path) -> None:
    export_day(storage, DAY.date(), FolderTarget(tmp_path / "one"), compact=True)
    export_day(storage, DAY.date(), FolderTarget(tmp_path / "two"), compact=True)

    files = tree(tmp_path / "one")
    assert files == tree(tmp_path / "two")
    folder = "events/2026/01/05/"
    assert set(files) == {f"{folder}{name}" for name in ("00.ndjson.gz", "03.ndjson.gz", "23.ndjson.gz", "avro.avro")}
    lines = gzip.decompress(files[f"{folder}00.ndjson.gz"])
    assert lines == RAW.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"
    assert gzip.decompress(files[f"{folder}03.ndjson.gz"]).count(b"\n") == 3


@pytest.mark.feature("S2-9")
def test_the_same_tree_goes_to_s3(
    storage: StorageSettings, tmp_path: Path, aws_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    for name, value in {**AWS, "AWS_ENDPOINT_URL": aws_endpoint, "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="cold")

    for _ in range(2):
        export_day(storage, DAY.date(), open_target("s3://cold/archive/", storage))
    export_day(storage, DAY.date(), FolderTarget(tmp_path / "cold"))

    objects = {
        item["Key"]: client.get_object(Bucket="cold", Key=item["Key"])["Body"].read()
        for item in client.list_objects_v2(Bucket="cold")["Contents"]
    }
    assert objects == {f"archive/{path}": content for path, content in tree(tmp_path / "cold").items()}


def test_different_ids_have_different_names_that_are_safe() -> None:
    long = "x" * 1000
    ids = ["a", "a.json", ".", "..", ".a", "%2E", "a/b", "a%2Fb", "a@b", "~", "%7E", long, long + "y", safe_name(long)]
    names = [safe_name(event_id) for event_id in ids]
    assert len(set(names)) == len(ids)
    for name in names:
        assert len(name) <= 120
        assert "/" not in name
        assert not name.startswith(".")
        assert "@" not in name


def test_a_day_of_nothing_writes_nothing(storage_settings: StorageSettings, tmp_path: Path) -> None:
    assert export_day(storage_settings, DAY.date(), FolderTarget(tmp_path / "cold")).file_count == 0
    assert not (tmp_path / "cold").exists()
