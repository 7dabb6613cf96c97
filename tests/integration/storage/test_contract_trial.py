"""`tidemark contracts` over a real Delta table: what a proposal would refuse of what has landed."""

import copy
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import build_app
from ingestion.contracts.formats import json_schema
from ingestion.contracts.registry import CONTRACTS
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import DEAD_LETTER_TOPIC, BronzeRow, engagement_row, generic_row, write_bronze

pytestmark = pytest.mark.integration
FIRST = datetime(2026, 1, 1, 10, tzinfo=UTC)
SECRET = "Jane Doe, 5 Mill Lane"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["contracts", *arguments])


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StorageSettings:
    """An own bronze that the command line finds."""
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIDEMARK_STORAGE_BRONZE_URI", str(tmp_path / "bronze" / "events"))
    monkeypatch.setenv("TIDEMARK_STORAGE_EXTENSIONS_DIR", str(tmp_path / "duckdb_extensions"))
    monkeypatch.setenv("TIDEMARK_STORAGE_BUILDS_DIR", str(tmp_path / "builds"))
    return StorageSettings()


@pytest.fixture
def proposal(tmp_path: Path) -> Path:
    """engagement/2: locations get shorter, shares go, a session is asked for."""
    schema = copy.deepcopy(json_schema.document(CONTRACTS["engagement/1"]))
    schema["$id"] = "engagement/2"
    shape = schema["$defs"]["EngagementEvent"]
    shape["properties"]["location"] = {
        "anyOf": [{"type": "string", "maxLength": 10}, {"type": "null"}],
        "default": None,
    }
    shape["properties"]["event_type"] = {"enum": ["click", "like", "comment", "view"]}
    shape["required"].append("session_id")
    path = tmp_path / "engagement-2.schema.json"
    path.write_text(json.dumps(schema))
    return path


def good(offset: int, day: int = 0, **changes: Any) -> BronzeRow:
    body = {"session_id": "s1", **changes.pop("body", {})}
    return engagement_row(offset, FIRST + timedelta(days=day), body=body, **changes)


def landed() -> list[BronzeRow]:
    far = {"body": {"location": SECRET}}
    return [
        *[good(offset) for offset in range(10)],
        *[good(offset, app_id="shop", **copy.deepcopy(far)) for offset in range(10, 15)],
        good(15, app_id="shop", event_type="share", body={"location": SECRET}),
        good(16, day=1, body={"session_id": None}),
        good(17, day=1, body={"platform": "tv", "session_id": None}),  # breaks its own version too
        good(18, day=1, body={"location": SECRET}, rejection_reason="bad_occurred_at"),
        good(19, day=1, body={"location": SECRET}, kafka_topic=DEAD_LETTER_TOPIC, dlq_stage="edge"),
        generic_row(20, FIRST, body={"location": SECRET}),
    ]


def test_a_proposal_is_told_per_app_what_would_fail_and_why(settings: StorageSettings, proposal: Path) -> None:
    write_bronze(settings.bronze_uri, landed())
    answer = run("check", str(proposal), "--days", "30", "--json")
    assert answer.exit_code == 1
    report = json.loads(answer.stdout)
    assert (report["candidate"], report["events"], report["failing"]) == ("engagement/2", 18, 7)
    assert report["days"] == ["2026-01-01", "2026-01-02"]
    public, shop = report["groups"]
    assert (public["app_id"], public["contract"], public["events"]) == ("public", "engagement/1", 12)
    assert (public["failing"], public["broken_already"]) == (1, 1)
    assert public["findings"] == [
        {
            "reason": "missing_field", "path": "session_id", "rule": "required", "events": 1,
            "examples": ["events.raw.v1/0/16"],
        }
    ]  # fmt: skip
    assert (shop["app_id"], shop["events"], shop["failing"]) == ("shop", 6, 6)
    assert [(item["path"], item["events"]) for item in shop["findings"]] == [("location", 6), ("event_type", 1)]
    assert shop["findings"][0]["examples"] == [f"events.raw.v1/0/{offset}" for offset in (10, 11, 12)]
    assert SECRET not in answer.stdout + answer.stderr


def test_the_verdict_by_level_stands_beside(settings: StorageSettings, proposal: Path) -> None:
    write_bronze(settings.bronze_uri, landed())
    answer = run("check", str(proposal), "--json")
    compatibility = json.loads(answer.stdout)["compatibility"]
    assert compatibility["against"] == ["engagement/1 revision 1"]
    assert {level for level, holds in compatibility["levels"].items() if holds} == {
        "NONE",
        "FORWARD",
        "FORWARD_TRANSITIVE",
    }
    assert {(item["path"], item["breaks"]) for item in compatibility["differences"]} == {
        ("session_id", "BACKWARD"),
        ("event_type", "BACKWARD"),
        ("location", "BACKWARD"),
    }
    assert "7 of 18 events" in " ".join(answer.stderr.split())


def test_only_the_newest_days_that_hold_data_are_read(settings: StorageSettings, proposal: Path) -> None:
    write_bronze(settings.bronze_uri, landed())
    report = json.loads(run("check", str(proposal), "--days", "1", "--json").stdout)
    assert (report["days"], report["events"], report["failing"]) == (["2026-01-02"], 2, 1)


def test_a_proposal_that_all_events_keep_is_fine(settings: StorageSettings, tmp_path: Path) -> None:
    write_bronze(settings.bronze_uri, landed())
    path = tmp_path / "same.json"
    path.write_text(run("show", "generic/1", "--json").stdout)
    answer = run("check", str(path), "--json")
    report = json.loads(answer.stdout)
    assert (answer.exit_code, report["events"], report["failing"]) == (0, 1, 0)
    assert all(report["compatibility"]["levels"].values())


def test_calls_of_segment_and_cloudevents_are_tried_too(settings: StorageSettings, tmp_path: Path) -> None:
    """The group call loses what it asks for; identify calls are asked for traits; extensions may not be numbers."""

    def row(offset: int, contract: str, **body: Any) -> BronzeRow:
        value = json.dumps(body).encode()
        return BronzeRow(offset, value, FIRST, f"e{offset}", contract=contract, event_type=body["type"])

    event = {"specversion": "1.0", "source": "/a", "type": "t"}
    rows = [
        row(0, "segment/1", type="identify", userId="u", traits={"a": 1}),
        row(1, "segment/1", type="identify", userId="u"),
        row(2, "segment/1", type="group", userId="u", groupId="g"),
        row(3, "cloudevent/1", id="1", ext="text", **event),
        row(4, "cloudevent/1", id="2", ext=7, **event),
    ]
    write_bronze(settings.bronze_uri, rows)
    segment = json_schema.document(CONTRACTS["segment/1"])
    identify = {"if": {"properties": {"type": {"const": "identify"}}}, "then": {"required": ["traits"]}}
    rules = segment["$defs"]["SegmentCall"]["allOf"]
    rules[1] = identify
    cloudevent = json_schema.document(CONTRACTS["cloudevent/1"])
    cloudevent["$defs"]["CloudEvent"]["additionalProperties"] = {"type": ["string", "boolean", "null"]}
    found = []
    for name, schema in (("segment/2", segment), ("cloudevent/2", cloudevent)):
        path = tmp_path / "proposal.json"
        path.write_text(json.dumps({**schema, "$id": name}))
        report = json.loads(run("check", str(path), "--json").stdout)
        breaks = [(item["path"], item["rule"], item["breaks"]) for item in report["compatibility"]["differences"]]
        (group,) = report["groups"]
        reasons = [(item["reason"], item["path"], item["examples"]) for item in group["findings"]]
        found.append((report["events"], report["failing"], reasons, [item for item in breaks if item[2]]))
    assert found == [
        (
            3,
            1,
            [("missing_field", "traits", ["events.raw.v1/0/1"])],
            [("traits", "allOf", "BACKWARD"), ("groupId", "allOf", "FORWARD")],
        ),
        (
            2,
            1,
            [("invalid_field", "*", ["events.raw.v1/0/4"])],
            [("*", "type", "BACKWARD"), ("*", "pattern", "FORWARD")],
        ),
    ]


def test_without_bronze_the_answer_is_3(settings: StorageSettings, proposal: Path) -> None:
    answer = run("check", str(proposal))
    assert (answer.exit_code, answer.stdout) == (3, "")


def test_what_is_no_proposal_is_wrong_usage(settings: StorageSettings, tmp_path: Path) -> None:
    path = tmp_path / "no.json"
    path.write_text('{"$id": "engagement/2", "not": {}}')
    answer = run("check", str(path))
    assert (answer.exit_code, "cannot compare not" in answer.stderr) == (2, True)
    assert run("show", "weather/1").exit_code == 2


def test_contracts_are_listed_and_shown() -> None:
    listed = json.loads(run("list", "--json").stdout)
    assert [(item["name"], item["status"]) for item in listed] == [(name, "newest") for name in CONTRACTS]
    assert all(item["revisions"] >= 1 for item in listed)
    assert run("list").exit_code == 0
    assert run("show", "download/1").stdout.startswith("## download/1")
