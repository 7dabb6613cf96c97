"""From rejection to recovery and back over everything again: each recovered event is in silver once, and the counts add up."""

from typing import Any

import pytest

from ingestion.contracts import headers
from ingestion.contracts.quarantine import Coordinates
from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC
from ingestion.sinks.records import OutgoingRecord
from storage.control import acknowledged
from tests.integration.quarantine.conftest import Platform
from tests.unit.ingestion.builders import encode, engagement

pytestmark = pytest.mark.integration
PERSON = "a-person-whose-name-is-private"


def without_platform(number: int, **changes: Any) -> bytes:
    """An engagement that lost its platform: the edge cannot tell its family."""
    return encode(engagement(event_id=f"lost-{number}", user_id=PERSON, platform=..., **changes))


def counts(report: dict[str, Any]) -> dict[str, int]:
    kinds = ("redriven", "already", "still_bad", "skipped")
    assert report["selected"] == sum(report[kind] for kind in kinds)
    assert {kind: sum(of[kind] for of in report["by_reason"].values()) for kind in kinds} == {
        kind: report[kind] for kind in kinds
    }
    return {kind: report[kind] for kind in kinds if report[kind]}


@pytest.mark.feature("S2-5", "S2-F1", "S1-17")
def test_rejected_events_come_back_once_and_the_rest_stay(
    platform: Platform, capfd: pytest.CaptureFixture[str]
) -> None:
    nameless = encode(engagement(event_id=..., platform=...))
    platform.take(encode(engagement(event_id="good")), without_platform(0), without_platform(1), nameless, b"{broken")
    stamps = [(headers.SOURCE, platform.app_id.encode()), (headers.EVENT_ID, b"stamped"), (headers.EVENT_TYPE, b"view"),
              (headers.OCCURRED_AT, b"2026-11-01T10:00:00.000000Z"), (headers.RECEIVED_AT, b"2026-11-01T10:00:01.000000Z"),
              (headers.DATA_SCHEMA, b"engagement/9")]  # fmt: skip
    body = encode(engagement(event_id="in-body", timestamp="2026-11-01T10:00:00Z"))
    platform.produce(OutgoingRecord(LIVE_TOPIC, b"u", body, stamps))
    platform.publish()
    ours = ("--app", platform.app_id)

    listed = platform.command("quarantine", "list", *ours)
    assert {(row["reason"], row["stage"], row["status"]): row["count"] for row in listed["counts"]} == {
        ("unknown_family", "edge", "quarantined"): 3,
        ("malformed_json", "edge", "quarantined"): 1,
        ("unknown_contract", "silver", "quarantined"): 1,
    }
    assert platform.command("quarantine", "list", *ours, "--reason", "malformed_json", "--stage", "edge")["total"] == 1
    assert platform.command("quarantine", "list", *ours, "--to", "2026-11-02")["total"] == 1
    assert platform.command("quarantine", "list", *ours, "--from", "2020-01-01", "--to", "2020-01-02")["total"] == 0

    lost = next(row for row in listed["rows"] if row["event_id"] == "lost-0")
    shown = platform.command("quarantine", "show", lost["coordinates"])
    assert PERSON in shown["value_text"]
    assert (shown["reason"], shown["verdict_now"]) == ("unknown_family", "unknown_family")
    assert {"name": headers.SOURCE, "value": platform.app_id} in shown["headers"]

    fix = ("--set", "platform=web", "--yes")
    assert platform.command("quarantine", "redrive", *ours, expected_exit=2) is None
    planned = platform.command("quarantine", "redrive", *ours, "--set", "platform=web", "--dry-run")
    assert counts(planned) == {"redriven": 4, "still_bad": 1}
    assert platform.land() == 0
    done = platform.command("quarantine", "redrive", *ours, *fix)
    assert counts(done) == {"redriven": 4, "still_bad": 1}
    assert done["remaining_reasons"] == {"malformed_json": 1}
    assert PERSON not in "".join(capfd.readouterr())

    noted = platform.command("quarantine", "list", *ours, "--status", "redriven")
    assert {row["redriven_as"] for row in noted["rows"]} == {None}
    platform.publish()
    assert platform.command("quarantine", "list", *ours, "--status", "quarantined")["total"] == 1
    published = platform.command("quarantine", "list", *ours, "--status", "redriven")
    assert len({row["redriven_as"] for row in published["rows"]}) == 4
    letters = {row["coordinates"]: row["redriven_event_id"] for row in published["rows"]}
    derived = next(
        place for place, event_id in letters.items() if event_id == Coordinates.parse(place).derived_event_id
    )
    assert set(letters.values()) == {"lost-0", "lost-1", "stamped", letters[derived]}

    again = platform.command("quarantine", "redrive", *ours, *fix)
    assert counts(again) == {"already": 4, "still_bad": 1}
    assert platform.land() == 0

    rows = platform.rows("silver.events")
    assert sorted(row["event_id"] for row in rows) == sorted(["good", *letters.values()])
    assert not any(row["is_late"] for row in rows)
    ledger = [row for row in acknowledged.read_all(platform.lakehouse.engine) if row[0] == platform.app_id]
    assert ({topic for _, _, topic, _ in ledger}, sum(count for *_, count in ledger)) == ({LIVE_TOPIC}, 4)

    traced = platform.command("trace", "lost-0", *ours)
    rejected, recovered = traced["copies"]
    assert (rejected["edge"], rejected["silver"]["table"], rejected["redriven_as"]) == (
        "rejected",
        "quarantine",
        [recovered["coordinates"]],
    )
    assert (recovered["edge"], recovered["silver"]["table"], recovered["redrive_of"]) == (
        "accepted",
        "events",
        rejected["coordinates"],
    )
    assert {cell["table"] for cell in recovered["gold"]} == {
        "agg_5min_events",
        "agg_hour_events",
        "agg_day_events",
        "fct_user_hours",
    }
    assert recovered["publications"]
    assert recovered["bronze_version"] > rejected["bronze_version"]
    # An id that the server derived leads to the letter too, which has none.
    assert platform.command("trace", letters[derived])["copies"][0]["coordinates"] == derived


@pytest.mark.feature("S2-F1")
def test_a_redrive_killed_before_it_noted_anything_is_found_by_the_next(platform: Platform) -> None:
    platform.take(*(without_platform(number) for number in range(5)), b"{broken")
    platform.publish()
    chosen = ("--app", platform.app_id, "--set", "platform=web")

    platform.killed_redrive(*chosen)
    assert counts(platform.command("quarantine", "redrive", *chosen, "--dry-run")) == {"already": 5, "still_bad": 1}
    assert counts(platform.command("quarantine", "redrive", *chosen, "--yes")) == {"already": 5, "still_bad": 1}
    platform.publish()
    assert sorted(row["event_id"] for row in platform.rows("silver.events")) == [
        f"lost-{number}" for number in range(5)
    ]


@pytest.mark.feature("S2-F1")
def test_without_the_journal_what_is_published_is_not_produced_again_and_what_is_not_counts_once(
    platform: Platform,
) -> None:
    platform.take(*(without_platform(number) for number in range(3)))
    platform.publish()
    chosen = ("--app", platform.app_id, "--set", "platform=web", "--yes")
    platform.command("quarantine", "redrive", *chosen)
    forget(platform)
    assert counts(platform.command("quarantine", "redrive", *chosen)) == {"redriven": 3}
    platform.publish()
    forget(platform)
    assert counts(platform.command("quarantine", "redrive", *chosen)) == {"already": 3}
    assert platform.land() == 0
    assert sorted(row["event_id"] for row in platform.rows("silver.events")) == ["lost-0", "lost-1", "lost-2"]
    assert len(platform.rows("silver.duplicates")) == 3
    traced = platform.command("trace", "lost-0", "--app", platform.app_id)["copies"]
    assert [copy["silver"]["table"] for copy in traced] == ["quarantine", "events", "duplicates"]
    assert traced[2]["silver"]["winner"] == traced[1]["coordinates"]


@pytest.mark.feature("S1-17")
def test_a_trace_says_where_an_event_is_not(platform: Platform) -> None:
    platform.take(encode(engagement(event_id="published")))
    platform.publish()
    platform.take(encode(engagement(event_id="waits")))
    waiting = platform.command("trace", "waits")
    assert (waiting["copies"], len(waiting["waiting"])) == ([], 1)
    platform.land()
    landed = platform.command("trace", "waits")["copies"][0]
    assert (landed["silver"], landed["publications"]) == (None, [])
    assert "arrivals sensor" in landed["waits_for"]
    nowhere = platform.command("trace", "never-sent", expected_exit=1)
    assert not nowhere["found"]
    assert any("rows" in line for line in nowhere["scanned"])
    assert not platform.command("trace", "published", "--app", "another", expected_exit=1)["found"]
    assert not platform.command("trace", "published", "--to", "2020-01-01", expected_exit=1)["found"]
    dead = platform.command("quarantine", "show", f"{DEAD_LETTER_TOPIC}/0/999999999", expected_exit=1)
    assert dead is None


def forget(platform: Platform) -> None:
    """Loses the journal."""
    from storage.control.tables import redrive_outcomes, redrive_requests

    with platform.lakehouse.engine.begin() as connection:
        connection.execute(redrive_outcomes.delete())
        connection.execute(redrive_requests.delete())
