"""Reading one Delta commit file."""

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from storage.bronze import landing_stamps, parse_commit, row_counts_by_date, touched_hours
from storage.bronze_hours import count_hours_of
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import engagement_row, write_bronze


def add(path: str, day: str, data_change: bool = True) -> str:
    return json.dumps({"add": {"path": path, "partitionValues": {"event_date": day}, "dataChange": data_change}})


def test_added_files_and_offsets_are_read() -> None:
    info = {"commitInfo": {"userMetadata": json.dumps({"query": "live", "offsets": {"events.raw.v1": {"0": 41}}})}}
    commit = parse_commit(
        "/b/events/", 3, "\n".join([json.dumps(info), add("event_date=2026-01-05/a%20b.parquet", "2026-01-05")])
    )
    assert commit.query == "live"
    assert commit.offsets == {"events.raw.v1": {0: 41}}
    assert [(file.uri, file.event_date) for file in commit.added] == [
        ("/b/events/event_date=2026-01-05/a b.parquet", date(2026, 1, 5))
    ]


def test_a_compaction_touches_no_hour() -> None:
    assert parse_commit("/b", 4, add("event_date=2026-01-05/c.parquet", "2026-01-05", data_change=False)).added == []


def test_a_foreign_commit_has_neither_query_nor_offsets() -> None:
    commit = parse_commit("/b", 5, json.dumps({"commitInfo": {"userMetadata": "set by hand"}}))
    assert (commit.query, commit.offsets) == (None, {})


def test_a_stamp_is_that_of_the_newest_landing_whatever_was_compacted_and_unknown_where_the_log_is_cut(
    tmp_path: Path,
) -> None:
    settings = StorageSettings(
        bronze_uri=str(tmp_path / "bronze"), builds_dir=tmp_path, extensions_dir=tmp_path / "extensions"
    )
    first = datetime(2026, 1, 5, 10, tzinfo=UTC)
    second = first + timedelta(seconds=1)
    for offset, stamp in enumerate((first, second)):
        write_bronze(settings.bronze_uri, [engagement_row(offset, first, ingested_at=stamp)])
    DeltaTable(settings.bronze_uri).optimize.compact()
    write_bronze(settings.bronze_uri, [engagement_row(2, first, ingested_at=second + timedelta(seconds=1))])
    assert landing_stamps(settings, [0, 1, 2]) == {0: first, 1: second, 2: second}
    (tmp_path / "bronze" / "_delta_log" / f"{0:020d}.json").unlink()
    assert landing_stamps(settings, [0, 1]) == {1: second}


@pytest.mark.parametrize("named_commits", [1_000, 1], ids=["by their names", "listed"])
def test_commits_are_found_by_their_names_or_in_the_list_and_one_that_was_trimmed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named_commits: int
) -> None:
    monkeypatch.setattr("storage.bronze.NAMED_COMMITS", named_commits)
    settings = StorageSettings(
        bronze_uri=str(tmp_path / "bronze"), builds_dir=tmp_path, extensions_dir=tmp_path / "extensions"
    )
    first = datetime(2026, 1, 5, 10, tzinfo=UTC)
    landed = [first + timedelta(days=1, seconds=number) for number in range(3)]
    for number, moment in enumerate(landed):
        row = engagement_row(number, first + timedelta(hours=number), ingested_at=moment)
        write_bronze(settings.bronze_uri, [row])
    found = touched_hours(settings, 0, 2)
    assert [(touch.hour, touch.first_version) for touch in found] == [(first + timedelta(hours=n), n) for n in (1, 2)]

    DeltaTable(settings.bronze_uri).create_checkpoint()
    for version in (0, 1):
        (tmp_path / "bronze" / "_delta_log" / f"{version:020d}.json").unlink()
    hours = [(touch.hour, touch.first_version) for touch in touched_hours(settings, 0, 2)]
    assert hours == [(first + timedelta(hours=n), 2) for n in range(3)], "every hour is, where it is not known which"
    # Regression: a plan older than the log was refused for hours to which nothing had come.
    later = touched_hours(settings, 0, 2, landed_until=landed[0])
    assert [(touch.hour, touch.last_version) for touch in later] == [(first + timedelta(hours=n), 2) for n in (1, 2)]


def test_a_table_that_is_not_there_yet_has_no_rows(tmp_path: Path) -> None:
    assert row_counts_by_date(StorageSettings(bronze_uri=str(tmp_path / "bronze"))) == {}


def test_hours_are_counted_without_opening_files_before_or_after_their_dates(tmp_path: Path) -> None:
    settings = StorageSettings(bronze_uri=str(tmp_path / "bronze"), extensions_dir=tmp_path / "extensions")
    day, hour = datetime(2026, 1, 5, 10, tzinfo=UTC), timedelta(hours=1)
    moments = [day, day, day + hour, day + 48 * hour, day + 24 * hour, day - 24 * hour, day + 96 * hour]
    write_bronze(settings.bronze_uri, [engagement_row(index, moment) for index, moment in enumerate(moments)])
    for away in ("2026-01-04", "2026-01-09"):
        shutil.rmtree(tmp_path / "bronze" / f"event_date={away}")
    counts = count_hours_of(settings, {day.date(), (day + 48 * hour).date()})
    assert counts == {day: 2, day + hour: 1, day + 48 * hour: 1}
