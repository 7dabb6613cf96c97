"""From record to hot event."""

from datetime import UTC, date, datetime

import pytest

from ingestion.contracts.avro_wire import AvroError
from ingestion.contracts.reasons import Reason
from streaming.hot_store.avro_bodies import AvroBodies
from streaming.hot_store.dead_letters import DeadLetter, letter_headers
from streaming.hot_store.records import RecordParser, RejectedRecordError
from tests.fixtures.hot_events import live_record

PARSER = RecordParser(date(2015, 1, 1), AvroBodies(dict))


def test_stamps_key_and_bytes_become_an_event() -> None:
    event = PARSER.parse(live_record(7, "e", stamps={"time": b"2024-05-01T02:00:00.5+02:00"}, partition=3))

    assert (event.app_id, event.event_id, event.event_type, event.user_id) == ("app", "e", "click", "ada")
    assert event.occurred_at == datetime(2024, 5, 1, 0, 0, 0, 500_000, UTC)
    assert (event.kafka_partition, event.kafka_offset) == (3, 7)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"[1]", Reason.NOT_AN_OBJECT),
        (b'"text"', Reason.NOT_AN_OBJECT),
        (b"{", Reason.MALFORMED_JSON),
        (b'{"a":NaN}', Reason.MALFORMED_JSON),
        (b"[" * 100_000, Reason.MALFORMED_JSON),
        (b'{"a":"\xff"}', Reason.INVALID_UTF8),
        (b"", Reason.EMPTY_VALUE),
    ],
)
def test_a_value_that_is_no_json_object_is_rejected(value: bytes, reason: Reason) -> None:
    with pytest.raises(RejectedRecordError) as caught:
        PARSER.parse(live_record(0, value=value))
    assert caught.value.reason == reason


def test_a_user_without_a_key_is_the_one_in_the_value() -> None:
    assert PARSER.parse(live_record(0, key=None)).user_id == "ada"
    assert PARSER.parse(live_record(0, key=b"\xff")).user_id == "ada"
    assert PARSER.parse(live_record(0, key=None, value=b'{"user_id":5}')).user_id == "5"


def test_avro_of_an_unknown_schema_is_rejected_and_the_registry_is_asked_once_per_batch() -> None:
    asked: list[None] = []
    avro = AvroBodies(lambda: asked.append(None) or {})  # type: ignore[func-returns-value]
    values = [b"\0\0\0\0\1abc", b"\0\0\0\0\2abc", b"\0"]
    avro.learn(values)

    assert len(asked) == 1
    with pytest.raises(AvroError):
        avro(values[0])
    with pytest.raises(RejectedRecordError) as caught:
        RecordParser(date(2015, 1, 1), avro).parse(
            live_record(0, value=values[0], stamps={"dataschema": b"download/1"})
        )
    assert caught.value.reason == Reason.UNKNOWN_SCHEMA


def test_our_headers_stand_before_those_that_a_record_brings_along() -> None:
    record = live_record(9, stamps={"dlqstage": b"edge"}, partition=2)
    letter = DeadLetter(record, Reason.UNSTORABLE, "UnstorableError", "x" * 9000, datetime(2026, 1, 5, tzinfo=UTC))

    found = letter_headers(letter, "group")

    first: dict[str, str | bytes | None] = {}
    for name, value in found:
        first.setdefault(name, value)
    assert first["ce_dlqstage"] == b"consumer"
    assert (first["ce_dlqtopic"], first["ce_dlqpartition"], first["ce_dlqoffset"]) == (b"events.raw.v1", b"2", b"9")
    assert first["ce_dlqat"] == b"2026-01-05T00:00:00.000000Z"
    assert len(first["ce_dlqmessage"] or b"") == 500
    assert first["ce_id"] == b"e-9"


def test_headers_that_do_not_fit_into_a_record_stay_behind() -> None:
    record = live_record(0, headers=(("x", b"h" * 2_000_000),), value=b"{" * 1_000_000)
    letter = DeadLetter(record, Reason.MALFORMED_JSON, "E", "m", datetime.now(UTC))

    assert all(name.startswith("ce_dlq") for name, _ in letter_headers(letter, "group"))
