"""What a redrive does with each record, over a store in memory."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from storage.hot_store.errors import StoreUnavailableError
from storage.hot_store.events import first_kept_day
from storage.hot_store.letters import Letter
from storage.hot_store.memory import InMemoryHotStore
from streaming.hot_store.avro_bodies import AvroBodies
from streaming.hot_store.batches import EventWriter
from streaming.hot_store.letter_records import Found, NoRecord
from streaming.hot_store.records import RecordParser
from streaming.hot_store.redrive import DryWriter, Redriver, Selection, report
from tests.fixtures.hot_events import hot_event, live_record

NOW = datetime.now(UTC)
AVRO = AvroBodies(dict)


def letter(offset: int, **changes: Any) -> Letter:
    fields = {"reason": "unstorable", "app_id": "app", "at": NOW, **changes}
    return Letter(0, offset, **fields)


def found(offset: int, event_id: str | None = None, **changes: Any) -> Found:
    return letter(offset), live_record(offset, event_id, **changes)


def redrive(writer: EventWriter, *records: Found) -> dict[int, str]:
    """Offset → what became of its record."""
    redriver = Redriver(RecordParser(date(2015, 1, 1), AVRO), AVRO, writer, first_kept_day(NOW, 7))
    return {item.letter.offset: item.remaining_reason or item.kind for item in redriver.run(records)}


RECORDS = (
    found(0),
    found(1, "e-0"),
    found(2, value=b"{"),
    found(3, "refused"),
    found(4, stamps={"time": (NOW - timedelta(days=30)).isoformat().encode()}),
    found(5, "known"),
    (letter(6), NoRecord(None)),
    (letter(7), NoRecord("unknown_contract", "bronze rejected it")),
)
FIRST = {
    0: "redriven", 1: "already", 2: "malformed_json", 3: "unstorable", 4: "expired", 5: "already", 6: "expired",
    7: "unknown_contract",
}  # fmt: skip


@pytest.mark.feature("S2-5")
@pytest.mark.feature("S2-F1")
def test_each_record_has_one_outcome_and_a_second_redrive_writes_nothing() -> None:
    store = InMemoryHotStore(refuses=lambda event: event.event_id == "refused")
    store.write([hot_event("known")])

    assert redrive(store, *RECORDS) == FIRST
    there = store.latest("app", 10)
    assert redrive(store, *RECORDS) == FIRST | {0: "already"}
    assert store.latest("app", 10) == there


@pytest.mark.feature("S2-5")
def test_a_dry_run_says_what_would_be_done_and_writes_nothing() -> None:
    store = InMemoryHotStore()
    store.write([hot_event("known")])

    assert redrive(DryWriter(store), *RECORDS) == FIRST | {3: "redriven"}
    assert [event.event_id for event in store.latest("app", 10)] == ["known"]


@pytest.mark.feature("S2-5")
def test_a_store_that_goes_away_ends_a_redrive_and_what_is_told_is_there() -> None:
    store = InMemoryHotStore()
    redriver = Redriver(RecordParser(date(2015, 1, 1), AVRO), AVRO, store, first_kept_day(NOW, 7))
    done = redriver.run([found(0), found(1)])

    assert next(done).kind == "redriven"
    store.available = False
    with pytest.raises(StoreUnavailableError):
        next(done)


@pytest.mark.parametrize(
    ("selection", "fits"),
    [
        (Selection(), True),
        (Selection(reasons=("unknown_schema", "unstorable"), app_id="app"), True),
        (Selection(reasons=("unknown_schema",)), False),
        (Selection(app_id="other"), False),
        (Selection(from_at=NOW), True),
        (Selection(to_at=NOW), False),
        (Selection(from_at=NOW + timedelta(seconds=1)), False),
    ],
)
def test_letters_are_chosen_by_reason_app_and_time(selection: Selection, fits: bool) -> None:
    assert selection.fits(letter(0)) is fits


def test_a_report_adds_up_in_all_and_by_reason() -> None:
    redriver = Redriver(RecordParser(date(2015, 1, 1), AVRO), AVRO, InMemoryHotStore(), first_kept_day(NOW, 7))
    records = [found(0), (letter(1, reason="handler_failed", app_id=None), NoRecord("null_key", "no key"))]

    told = report(list(redriver.run(records)), "events.raw.v1")

    assert (told["selected"], told["redriven"], told["already"], told["expired"], told["still_bad"]) == (2, 1, 0, 0, 1)
    assert told["by_reason"] == {
        "handler_failed": {"redriven": 0, "already": 0, "expired": 0, "still_bad": 1},
        "unstorable": {"redriven": 1, "already": 0, "expired": 0, "still_bad": 0},
    }
    assert told["remaining_reasons"] == {"null_key": 1}
    assert [letter["coordinates"] for letter in told["letters"]] == ["events.raw.v1/0/0", "events.raw.v1/0/1"]
