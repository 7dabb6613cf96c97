"""Small pure decisions: where a query starts, which date is compacted, what bronze's DDL says, how settings are bounded."""

import json
from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from streaming.bronze_table import PartitionCount, landed_offsets
from streaming.compaction import choose_date
from streaming.errors import KafkaUnreachableError
from streaming.kafka_topics import wait_for_topics
from streaming.recovery import find_gaps
from streaming.schemas import BRONZE_COLUMNS, STATISTICS_COLUMNS, bronze_column_names, bronze_ddl
from streaming.session import spark_options
from streaming.settings import StreamingSettings
from streaming.sources import starting_offsets_json

FIRST, SECOND = date(2024, 1, 1), date(2024, 1, 2)


def test_a_first_start_reads_from_the_earliest_record() -> None:
    assert starting_offsets_json({"t": [0, 1]}, {}) == "earliest"


def test_a_recovered_start_names_every_partition() -> None:
    text = starting_offsets_json({"t": [1, 0], "u": [0]}, {"t": {0: 5}})

    assert json.loads(text) == {"t": {"0": 5, "1": -2}, "u": {"0": -2}}


@pytest.mark.parametrize(
    ("small_files", "chosen"),
    [
        ({}, None),
        ({FIRST: 2}, None),
        ({FIRST: 3, SECOND: 5}, SECOND),
        ({SECOND: 3, FIRST: 3}, FIRST),
    ],
)
def test_compaction_takes_the_date_with_most_small_files(small_files: dict[date, int], chosen: date | None) -> None:
    assert choose_date(small_files, min_files=3) == chosen


def test_gaps_and_doubles_are_found() -> None:
    whole = PartitionCount("t", 0, 0, 9, 10, 10)
    gap = PartitionCount("t", 1, 0, 9, 9, 9)
    double = PartitionCount("t", 2, 0, 9, 11, 10)

    assert [text.split(":")[0] for text in find_gaps([whole, gap, double])] == ["t/1", "t/2"]
    assert landed_offsets([whole, gap]) == {"t": {0: 9, 1: 9}}


def test_the_table_is_described_column_by_column() -> None:
    ddl = bronze_ddl("delta.`/x`")

    assert all(column.description.endswith(".") and column.name in ddl for column in BRONZE_COLUMNS)
    assert len(set(bronze_column_names())) == len(BRONZE_COLUMNS)
    assert set(STATISTICS_COLUMNS) <= set(bronze_column_names())
    assert "PARTITIONED BY (event_date)" in ddl


def test_settings_are_bounded_and_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_STREAMING_TRIGGER_SECONDS", "0.5")
    assert StreamingSettings().trigger_seconds == 0.5
    monkeypatch.setenv("TIDEMARK_STREAMING_TRIGGER_SECONDS", "0")
    with pytest.raises(ValidationError):
        StreamingSettings()


def test_a_local_driver_listens_on_loopback_only_and_an_object_store_keeps_its_own_file_system() -> None:
    local = spark_options(StreamingSettings(jars="/a.jar:/b.jar"))
    remote = spark_options(StreamingSettings(master="k8s://x", checkpoint_dir="s3a://bucket/checkpoints"))

    assert local["spark.driver.bindAddress"] == "127.0.0.1"
    assert local["spark.driver.extraClassPath"] == "/a.jar:/b.jar"
    assert "spark.driver.bindAddress" not in remote
    assert "spark.hadoop.fs.file.impl" not in remote


@pytest.mark.feature("S2-14")
def test_region_and_profile_reach_spark_only_when_they_are_set() -> None:
    plain, given = spark_options(StreamingSettings()), spark_options(StreamingSettings(aws_region="r", aws_profile="p"))

    changed = {name: value for name, value in given.items() if plain.get(name) != value}
    assert changed["spark.hadoop.fs.s3a.endpoint.region"] == "r"
    assert changed["spark.hadoop.fs.s3a.aws.credentials.provider"].endswith(".ProfileCredentialsProvider")
    assert changed["spark.driver.extraJavaOptions"] == plain["spark.driver.extraJavaOptions"] + " -Daws.profile=p"
    assert len(changed) == 3


def test_a_class_archive_is_named_only_where_there_is_one(tmp_path: Path) -> None:
    archive = tmp_path / "a folder" / "spark-classes.jsa"
    settings = StreamingSettings(class_archive=str(archive))

    assert spark_options(settings) == spark_options(StreamingSettings())
    archive.parent.mkdir()
    archive.touch()
    assert f'"-XX:SharedArchiveFile={archive}"' in spark_options(settings)["spark.driver.extraJavaOptions"]


def test_waiting_for_kafka_is_bounded() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += 30

    with pytest.raises(KafkaUnreachableError, match=r"127\.0\.0\.1:1 is not ready"):
        wait_for_topics("127.0.0.1:1", ("t",), timeout_seconds=20, sleep=sleep, clock=lambda: now[0])
