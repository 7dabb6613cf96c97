"""Which part of bronze an hour's published rows must reflect."""

import json
from pathlib import Path

import duckdb
import pytest

from storage.verification.scope import NOTHING_READ, CommitStamps, HourState, Stamps

pytestmark = pytest.mark.feature("K10")


@pytest.mark.parametrize(
    ("touched", "published", "cursor", "expected"),
    [
        (5, 5, 9, 9),  # clean: nothing of the hour landed between its touch and the cursor
        (5, 7, 9, 9),
        (5, 12, 9, 12),  # its run read further than the sensor has looked
        (8, 5, 9, 5),  # dirty: promised up to its last run only
        (8, None, 9, NOTHING_READ),
    ],
)
def test_an_hour_is_settled_until(touched: int, published: int | None, cursor: int, expected: int) -> None:
    assert HourState(touched, published).settled_until(cursor) == expected


def write_commits(table: Path, stamps: dict[int, str | None]) -> None:
    log = table / "_delta_log"
    log.mkdir(parents=True)
    for version, stamp in stamps.items():
        info = {"operation": "WRITE", **({"userMetadata": json.dumps({"ingested_at": stamp})} if stamp else {})}
        (log / f"{version:020d}.json").write_text(json.dumps({"commitInfo": info}) + "\n" + json.dumps({"add": {}}))
    (log / f"{2:020d}.checkpoint.parquet").touch()


@pytest.mark.parametrize(
    ("stamps", "version", "expected"),
    [
        ({0: None, 1: "a", 2: "b"}, 2, "b"),
        ({0: None, 1: "a", 2: None}, 2, "a"),  # a foreign commit lands nothing
        ({0: None, 1: "a"}, 0, None),  # created, nothing landed
        ({5: "e", 6: "f"}, 3, None),
        ({}, 3, None),
    ],
)
def test_a_version_has_the_stamp_of_its_newest_landing(
    tmp_path: Path, stamps: dict[int, str | None], version: int, expected: str | None
) -> None:
    write_commits(tmp_path, stamps)
    with duckdb.connect() as session:
        assert CommitStamps(session, str(tmp_path)).at(version) == expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (NOTHING_READ, None),
        (10, "2026-01-01T00:00:10.000000Z"),  # a publication read it
        (15, "2026-01-01T00:00:10.000000Z"),  # nobody published it: the newest publication before
        (20, "2026-01-01T00:00:20.000000Z"),
        (31, "from the log"),
        (9, None),
    ],
)
def test_where_the_log_is_cut_the_publications_tell(tmp_path: Path, version: int, expected: str | None) -> None:
    write_commits(tmp_path, {30: None, 31: "from the log"})
    with duckdb.connect() as session:
        session.execute("set TimeZone='UTC'")
        session.execute(
            """
            attach ':memory:' as lake;
            create schema lake.operations;
            create table lake.operations.publications as
            select * from (values (10, '{"t": {"0": 0}}'), (20, '{"t": {"0": 0, "1": 7}}')) v (bronze_version, highest_offsets);
            create table bronze as
            select 't' as kafka_topic, * from (values
                (0, 0, timestamptz '2026-01-01 00:00:10+00'), (1, 7, timestamptz '2026-01-01 00:00:20+00'),
                (1, 8, timestamptz '2026-01-01 00:00:30+00')
            ) v (kafka_partition, kafka_offset, ingested_at);
            """
        )
        assert Stamps(session, str(tmp_path)).at(version) == expected
