"""Records and their stamps."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ingestion.contracts import headers
from ingestion.contracts.reasons import Reason
from ingestion.contracts.validation import Rejection, ValidEvent
from ingestion.sinks import Stamper
from ingestion.sinks.records import DEAD_LETTER_VALUE_MAX_BYTES, new_event_ids
from tests.unit.ingestion.builders import NOW


def stamper(trace_parent: str | None = None) -> Stamper:
    return Stamper("shop", NOW, topic="events", dead_letter_topic="letters", trace_parent=trace_parent)


@given(st.integers(1, 50))
def test_fresh_ids_are_different_uuids_of_version_7_that_carry_the_time(count: int) -> None:
    ids = [UUID(text) for text in new_event_ids(count, NOW)]
    assert len(set(ids)) == count
    assert {(each.version, each.variant) for each in ids} == {(7, "specified in RFC 4122")}
    assert {each.int >> 80 for each in ids} == {int(NOW.timestamp() * 1000)}


def test_an_event_is_keyed_by_its_trimmed_user_and_keeps_its_bytes() -> None:
    event = ValidEvent("engagement/1", "like", "ünï", None, None)
    record = stamper().stamp(b" raw ", event, "id-1")
    assert (record.key, record.value) == ("ünï".encode(), b" raw ")
    stamps = dict(record.headers)
    assert stamps["ce_time"] == "2026-11-21T09:30:00.000000Z"
    assert stamps["ce_receivedat"] == b"2026-11-21T09:30:00.000000Z"


def test_an_event_carries_the_stamps_in_the_order_that_bronze_knows() -> None:
    event = ValidEvent("generic/1", "order_placed", "u", None, None)
    assert tuple(name for name, _ in stamper().stamp(b"{}", event, "id").headers) == headers.STAMPS
    traced = stamper(trace_parent="00-a-b-01").stamp(b"{}", event, "id")
    assert tuple(name for name, _ in traced.headers) == (*headers.STAMPS, headers.TRACE_PARENT)
    assert dict(traced.headers)[headers.SPEC_VERSION] == headers.SPEC_VERSION_VALUE


def test_a_dead_letter_keeps_what_is_known_and_at_most_its_share_of_a_huge_value() -> None:
    unknown = stamper().dead_letter(b"x" * (DEAD_LETTER_VALUE_MAX_BYTES + 1), Rejection(Reason.MALFORMED_JSON, "m"))
    assert unknown.key is None
    assert len(unknown.value) == DEAD_LETTER_VALUE_MAX_BYTES
    assert {name for name, _ in unknown.headers} == {
        "ce_specversion",
        "ce_source",
        "ce_receivedat",
        "ce_dlqstage",
        "ce_dlqreason",
        "ce_dlqmessage",
    }
    assert dict(unknown.headers)["ce_dlqmessage"] == b"m"
    long = stamper().dead_letter(b"", Rejection(Reason.INVALID_FIELD, "ü" * 1000))
    assert dict(long.headers)["ce_dlqmessage"] == ("ü" * 500).encode()
    known = stamper().dead_letter(b"x", Rejection(Reason.INVALID_FIELD, "m", "id", "like", "u"))
    assert known.key == b"u"
    assert dict(known.headers)["ce_id"] == "id"
