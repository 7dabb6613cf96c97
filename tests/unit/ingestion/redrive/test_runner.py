"""A redrive produces each good record once, whatever died before, and its counts add up."""

import pytest

from ingestion.contracts import headers
from ingestion.contracts.quarantine import Coordinates
from ingestion.contracts.topics import LIVE_TOPIC
from ingestion.redrive.errors import RedriveStoppedError
from ingestion.redrive.journal import MemoryJournal, Request
from ingestion.redrive.report import Report
from ingestion.redrive.runner import Parts, Redriver
from ingestion.redrive.tail import Found, MemoryTail
from ingestion.sinks import InMemorySink
from storage.control.redrives import Unfinished
from tests.unit.ingestion.builders import engagement
from tests.unit.ingestion.redrive.records import RECEIVED_AT, letter
from tests.unit.ingestion.redrive.test_judging import judge

pytestmark = pytest.mark.feature("S2-5", "S2-F1")

GOOD = [letter(offset, engagement(event_id=f"e{offset}"), reason="unknown_schema") for offset in range(3)]
BAD = [letter(3, b"{"), letter(4, engagement(user_id=...))]
NOBODYS = [letter(5, engagement(), app_id="unknown", reason="missing_header")]


def run(
    journal: MemoryJournal, sink: InMemorySink, *batches: object, tail: MemoryTail | None = None, name: str = "r"
) -> Report:
    parts = Parts(judge(), sink, journal, tail or MemoryTail())
    return Redriver(parts, Request(name, {}, None, LIVE_TOPIC)).run(batches)  # type: ignore[arg-type]  # test shorthand


def numbers(report: Report) -> dict[str, int]:
    found = report.as_dict()
    assert found["selected"] == found["redriven"] + found["already"] + found["still_bad"] + found["skipped"]
    for kind in ("redriven", "already", "still_bad", "skipped"):
        assert found[kind] == sum(counts[kind] for counts in found["by_reason"].values())
    return {kind: found[kind] for kind in ("selected", "redriven", "already", "still_bad", "skipped")}


def test_the_good_ones_are_produced_with_their_origin_and_the_counts_add_up() -> None:
    journal, sink = MemoryJournal(), InMemorySink()
    report = run(journal, sink, GOOD[:2], GOOD[2:] + BAD + NOBODYS)
    assert numbers(report) == {"selected": 6, "redriven": 3, "already": 0, "still_bad": 2, "skipped": 1}
    assert report.as_dict()["remaining_reasons"] == {"app_is_unknown": 1, "malformed_json": 1, "missing_field": 1}
    stamps = [dict(record.headers) for record in sink.records]
    assert [stamp[headers.REDRIVE_OF] for stamp in stamps] == [str(record.coordinates).encode() for record in GOOD]
    assert {stamp[headers.RECEIVED_AT] for stamp in stamps} == {b"2026-11-21T09:30:00.000000Z"}
    assert [record.value for record in sink.records] == [record.value for record in GOOD]
    assert journal.counted == [("shop", RECEIVED_AT.replace(minute=0), LIVE_TOPIC, count) for count in (2, 1)]


def test_a_second_redrive_produces_nothing() -> None:
    journal, sink = MemoryJournal(), InMemorySink()
    run(journal, sink, GOOD + BAD)
    again = run(journal, sink, GOOD + BAD, name="again")
    assert numbers(again) == {"selected": 5, "redriven": 0, "already": 3, "still_bad": 2, "skipped": 0}
    assert len(sink.records) == 3


def test_what_is_published_as_redriven_is_not_produced_again_though_the_journal_is_lost() -> None:
    sink = InMemorySink()
    known = letter(0, engagement(), redriven_as=Coordinates(LIVE_TOPIC, 0, 9))
    assert numbers(run(MemoryJournal(), sink, [known]))["already"] == 1
    assert not sink.records


def test_what_a_killed_redrive_produced_and_did_not_note_is_found_in_the_topic() -> None:
    journal, sink = MemoryJournal(), InMemorySink()
    journal.requests["died"] = Unfinished("died", LIVE_TOPIC, {0: 4})
    tail = MemoryTail((Found(GOOD[0].coordinates, "e0"), Found(GOOD[0].coordinates, "e0")))
    assert numbers(run(journal, sink, GOOD, tail=tail)) == {
        "selected": 3,
        "redriven": 2,
        "already": 1,
        "still_bad": 0,
        "skipped": 0,
    }
    assert [record.value for record in sink.records] == [record.value for record in GOOD[1:]]
    assert journal.unfinished() == []


def test_a_preview_counts_as_the_run_would_and_changes_nothing() -> None:
    journal, sink = MemoryJournal(), InMemorySink()
    journal.requests["died"] = Unfinished("died", LIVE_TOPIC, {0: 4})
    parts = Parts(judge(), sink, journal, MemoryTail((Found(GOOD[0].coordinates, None),)))
    report = Redriver(parts, Request("r", {}, None, LIVE_TOPIC)).preview([GOOD + BAD])
    assert numbers(report) == {"selected": 5, "redriven": 2, "already": 1, "still_bad": 2, "skipped": 0}
    assert not sink.records
    assert not journal.outcomes
    assert list(journal.requests) == ["died"]


def test_what_was_acknowledged_before_the_broker_failed_is_noted_and_the_rest_comes_with_the_next_one() -> None:
    journal, sink = MemoryJournal(), InMemorySink()
    sink.failing = {1}
    with pytest.raises(RedriveStoppedError, match="not acknowledged"):
        run(journal, sink, GOOD)
    assert journal.redriven() == {GOOD[0].coordinates, GOOD[2].coordinates}
    assert [item.request_id for item in journal.unfinished()] == ["r"]
    assert numbers(run(journal, sink, GOOD, name="again"))["redriven"] == 1
    assert len(sink.records) == 3


def test_nothing_is_noted_as_redriven_while_the_broker_is_away() -> None:
    journal, sink = MemoryJournal(), InMemorySink()
    sink.available = False
    with pytest.raises(RedriveStoppedError, match="again"):
        run(journal, sink, GOOD)
    assert not journal.outcomes
