"""Reading one Delta commit file."""

import json
from datetime import date

from storage.bronze import parse_commit


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
