"""What differs between two publications and why, over HTTP and a real lake."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import duckdb
import httpx
import pytest

from storage.control.keys import create_key
from storage.lake import create_missing_tables, open_lake
from tests.fixtures.lake_writer import Event, LakeWriter, random_events
from tests.integration.serving.conftest import NOW, SEED, copy_lake, open_client

pytestmark = [pytest.mark.integration, pytest.mark.feature("K10")]
HOUR = NOW.replace(hour=10, minute=0, second=0, microsecond=0) - timedelta(days=2)
DAY = HOUR.replace(hour=0)
LATE_RUN = "run-00003"


def read(client: httpx.Client, old: int, new: int, **parameters: Any) -> dict[str, Any]:
    """The answer, which must be a 200."""
    response = client.get(f"/api/v1/publications/{old}/diff/{new}", params=parameters)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def restated(old: int, new: int) -> dict[str, dict[str, int]]:
    return {
        "row_count": {"old": 1, "new": 1},
        "event_count": {"old": old, "new": new},
        "unique_users": {"old": old, "new": new},
    }


@pytest.fixture(scope="module")
def writer(lake_template: Any, tmp_path_factory: pytest.TempPathFactory) -> LakeWriter:
    """Two days of random events (1), the running hour (2), a late event of another user in HOUR (3), one of another application (4)."""
    made = LakeWriter(copy_lake(lake_template, tmp_path_factory.mktemp("lake")))
    earlier = random_events(Random(SEED), 60, HOUR + timedelta(hours=1), timedelta(hours=24))
    made.publish(
        [Event(HOUR, user_id="ann"), Event(HOUR, user_id="bob"), Event(HOUR, app_id="other"), *earlier],
        published_at=NOW - timedelta(hours=2),
    )
    made.publish([Event(NOW - timedelta(minutes=5))], published_at=NOW - timedelta(minutes=2))
    made.publish([Event(HOUR, user_id="late")], cause="late", published_at=NOW)
    made.publish([Event(HOUR, user_id="late", app_id="other")], cause="late", published_at=NOW)
    return made


@pytest.fixture(scope="module")
def client(writer: LakeWriter) -> Iterator[httpx.Client]:
    with open_client(writer.settings) as opened:
        yield opened


def test_a_late_event_is_told_by_hour_and_day_with_old_and_new_cause_and_run(client: httpx.Client) -> None:
    answer = read(client, 2, 3, period="hour")
    found = {item["table"]: item for item in answer["differences"]}
    assert set(found) == {
        "silver.events",
        *(f"gold.{name}" for name in ("agg_5min_events", "agg_hour_events", "agg_day_events", "fct_user_hours")),
    }
    hour = found["gold.agg_hour_events"]
    assert (hour["period"], hour["period_start"]) == ("hour", HOUR.isoformat().replace("+00:00", "Z"))
    assert (hour["rows_added"], hour["rows_removed"], hour["rows_changed"]) == (0, 0, 1)
    assert hour["measures"] == restated(2, 3)
    assert found["gold.agg_day_events"]["period_start"] == DAY.isoformat().replace("+00:00", "Z")
    assert (found["gold.fct_user_hours"]["rows_added"], found["gold.fct_user_hours"]["rows_changed"]) == (1, 0)
    assert found["silver.events"]["measures"] == {"row_count": {"old": 2, "new": 3}}
    assert found["silver.events"]["rows_added"] is None
    assert answer["causes"] == {"late": 1}
    assert {(row["publication"], row["cause"], row["run"]) for row in answer["restatements"]} == {(3, "late", LATE_RUN)}
    of_hour = {row["measure"]: row for row in answer["restatements"] if row["table"] == "gold.agg_hour_events"}
    assert {name: (row["old"], row["new"]) for name, row in of_hour.items()} == {
        "row_count": (1, 1),
        "event_count": (2, 3),
        "unique_users": (2, 3),
    }
    assert (answer["has_more_differences"], answer["has_more_restatements"]) == (False, False)
    assert (answer["total_differences"], answer["total_restatements"]) == (5, len(answer["restatements"]))


def test_what_arrives_in_a_running_hour_is_a_difference_without_a_restatement(client: httpx.Client) -> None:
    answer = read(client, 1, 2, table="gold.agg_hour_events")
    assert [item["measures"]["event_count"] for item in answer["differences"]] == [{"old": 0, "new": 1}]
    assert (answer["restatements"], answer["causes"]) == ([], {"arrival": 1})


def test_named_the_other_way_round_old_is_the_newer_publication(client: httpx.Client) -> None:
    forward, back = read(client, 1, 3), read(client, 3, 1)
    assert (back["old"], back["new"]) == (forward["new"], forward["old"])
    assert (back["restatements"], back["causes"]) == (forward["restatements"], forward["causes"])
    swapped = [
        {
            **item,
            "rows_added": item["rows_removed"],
            "rows_removed": item["rows_added"],
            "measures": {name: {"old": sums["new"], "new": sums["old"]} for name, sums in item["measures"].items()},
        }
        for item in forward["differences"]
    ]
    assert len(swapped) > 5
    assert back["differences"] == swapped


def test_a_publication_differs_from_itself_in_nothing(client: httpx.Client) -> None:
    answer = read(client, 3, 3)
    assert (answer["differences"], answer["restatements"], answer["causes"]) == ([], [], {})


def test_a_key_sees_the_rows_of_its_application_alone(client: httpx.Client, writer: LakeWriter) -> None:
    public = read(client, 3, 4)
    assert (public["differences"], public["restatements"]) == ([], [])
    key = {"X-API-Key": create_key(writer.engine, "other", "read")}
    other = client.get("/api/v1/publications/3/diff/4", headers=key).json()
    hour = {item["table"]: item for item in other["differences"]}["gold.agg_day_events"]
    assert hour["rows_changed"] == 1
    assert other["restatements"]
    assert client.get("/api/v1/publications/2/diff/3", headers=key).json()["differences"] == []
    for app_id, status in (("other", 403), ("public", 200)):
        assert client.get("/api/v1/publications/3/diff/4", params={"app_id": app_id}).status_code == status
    assert client.get("/api/v1/publications/3/diff/4", headers={"X-API-Key": "wrong"}).status_code == 401


def test_sums_are_those_that_the_analytics_endpoint_gives_as_of_either_publication(client: httpx.Client) -> None:
    found = read(client, 1, 3, table="gold.agg_hour_events", period="hour")["differences"]
    assert len(found) == 2
    for item in found:
        for side, publication in (("old", 1), ("new", 3)):
            until = item["period_start"].replace(":00:00Z", ":59:59Z")
            asked = {"publication": publication, "time_window": "1hr", "hours_back": 1, "until": until}
            cells = client.get("/api/v1/analytics/events", params=asked).json()["metrics"]
            total = sum(cell["event_count"] for cell in cells if cell["window_start"] == item["period_start"])
            assert item["measures"]["event_count"][side] == total


def test_a_diff_can_be_narrowed_to_a_table_and_a_range_and_is_cut_at_the_limit(client: httpx.Client) -> None:
    assert {item["table"] for item in read(client, 1, 3, table="gold.agg_5min_events")["differences"]} == {
        "gold.agg_5min_events"
    }
    one_day = read(client, 1, 3, **{"from": DAY.isoformat(), "to": (DAY + timedelta(days=1)).isoformat()})
    assert {item["period_start"][:10] for item in one_day["differences"]} == {DAY.date().isoformat()}
    whole = read(client, 1, 3)
    cut = read(client, 1, 3, limit=2)
    assert cut["differences"] == whole["differences"][:2]
    assert cut["restatements"] == whole["restatements"][:2]
    assert (cut["has_more_differences"], cut["has_more_restatements"], whole["has_more_differences"]) == (
        True,
        True,
        False,
    )
    assert [item["period_start"] for item in whole["differences"]] == sorted(
        (item["period_start"] for item in whole["differences"]), reverse=True
    )


def test_what_cannot_be_asked_is_refused_by_name(client: httpx.Client) -> None:
    for path, parameters, named in (
        ("2/diff/3", {"table": "gold.nope"}, "table"),
        ("2/diff/3", {"table": "silver.quarantine"}, "table"),
        ("2/diff/3", {"limit": 1001}, "limit"),
        ("2/diff/3", {"period": "week"}, "period"),
        ("2/diff/3", {"from": "now"}, "from"),
        ("2/diff/3", {"from": "2026-01-06", "to": "2026-01-05"}, "request"),
        ("0/diff/3", {}, "a"),
        ("2/diff/x", {}, "b"),
    ):
        answer = client.get(f"/api/v1/publications/{path}", params=parameters)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:tidemark:problem:invalid-parameter"), path
        assert [error["parameter"] for error in answer.json()["errors"]] == [named]
    for path in ("2/diff/99", "99/diff/2", "99/diff/99"):
        answer = client.get(f"/api/v1/publications/{path}")
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:tidemark:problem:unknown-publication")


def test_an_answer_is_304_for_the_client_that_has_it(client: httpx.Client) -> None:
    path = "/api/v1/publications/2/diff/3"
    first = client.get(path)
    assert (first.headers["cache-control"], first.headers["vary"]) == ("private, no-cache", "Authorization, X-API-Key")
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    others = [client.get("/api/v1/publications/3/diff/2"), client.get(path, params={"period": "hour"})]
    assert len({first.headers["etag"], *(other.headers["etag"] for other in others)}) == 3
    metrics = client.get("/metrics").text
    assert 'tidemark_serving_not_modified_total{query="publication-diff"} 1.0' in metrics
    assert 'route="/api/v1/publications/{a}/diff/{b}"' in metrics


def test_an_expired_publication_on_either_side_is_410_and_names_the_nearest_kept(lake: LakeWriter) -> None:
    with open_client(lake.settings) as client:
        assert client.get("/api/v1/publications/1/diff/1").status_code == 404, "nothing is published yet"
        made = [lake.publish([Event(HOUR, user_id=f"u{n}")], published_at=NOW) for n in range(3)]
        lake.expire(made[1].snapshot_id)
        for path in ("1/diff/2", "2/diff/1", "2/diff/2"):
            answer = client.get(f"/api/v1/publications/{path}")
            assert answer.status_code == 410, path
            assert (answer.json()["publication"], answer.json()["nearest_publication"]) == (2, 3)
        around = read(client, 1, 3, table="gold.agg_hour_events")
    assert [item["measures"]["event_count"] for item in around["differences"]] == [{"old": 1, "new": 3}]
    assert {row["publication"] for row in around["restatements"]} == {2, 3}, "the ledger knows expired ones too"


def test_a_table_and_a_column_that_came_later_are_empty_before(lake: LakeWriter) -> None:
    declared = lake.specs
    events = [(0, Event(HOUR))]
    first, second = lake.build(events), lake.build(events)
    with duckdb.connect(str(second)) as build:
        build.execute(
            "insert into gold.agg_hour_download_errors by name select app_id, 'north' as region, 'none' as error_code, "
            "event_hour as window_start, event_hour + interval 1 hour as window_end, event_date, event_hour, 4 as event_count, "
            "4 as success_count, 0 as failed_count, 0 as cancelled_count from silver.events"
        )
    with open_lake(lake.settings, read_only=False) as session:
        session.execute("drop table lake.gold.agg_hour_download_errors")
        session.execute("alter table lake.gold.agg_day_events drop column unique_users")
    lake.specs = [
        replace(spec, columns=tuple(column for column in spec.columns if column[0] != "unique_users"))
        if spec.name == "agg_day_events"
        else spec
        for spec in declared
        if spec.name != "agg_hour_download_errors"
    ]
    lake.promote(first, [HOUR], published_at=NOW)
    create_missing_tables(lake.settings)
    lake.specs = declared
    lake.promote(second, [HOUR], cause="code", published_at=NOW)
    with open_client(lake.settings) as client:
        found = {item["table"]: item for item in read(client, 1, 2)["differences"]}
    assert set(found) == {"gold.agg_hour_download_errors", "gold.agg_day_events"}
    assert found["gold.agg_hour_download_errors"]["rows_added"] == 1
    assert found["gold.agg_hour_download_errors"]["measures"]["event_count"] == {"old": 0, "new": 4}
    assert found["gold.agg_day_events"]["rows_changed"] == 1
    assert found["gold.agg_day_events"]["measures"]["unique_users"] == {"old": 0, "new": 1}
