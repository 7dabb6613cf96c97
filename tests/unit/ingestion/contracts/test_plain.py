"""The short way through validation: it never says anything else than the full way, and it is taken where it should be."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.contracts.families import detect_family
from ingestion.contracts.plain import PlainReader
from ingestion.contracts.reasons import Reason
from ingestion.contracts.validation import Rejection, Validator, ValidEvent
from tests.unit.ingestion.builders import NOW, encode, engagement

COMPLETE: dict[str, Any] = {
    "user_id": "u",
    "event_id": "e",
    "content_id": "c",
    "session_id": "s",
    "device_type": "d",
    "location": "l",
    "timestamp": "2026-11-21T09:30:00.000000Z",
    "metadata": {"a": "b"},
}
TEXT = st.text(alphabet="ab:, {}", max_size=4)
TIMES = [
    "2026-11-21T09:30:00.000000Z", "2026-11-21T09:30:00Z", "2026-11-21 09:30:00.000000Z", "2026-W47-6T09:30:00.000000Z",
    "2026-11-21T09:30:00,000000Z", "2026-11-21T09:30:00.00000٣Z", "2026-11-31T09:30:00.000000Z", "2126-11-21T09:30:00.000000Z",
    "1999-11-21T09:30:00.000000Z", "9:30", "", 1700000000, 17.5, None,
]  # fmt: skip
FIELDS = st.one_of(
    st.tuples(st.sampled_from(["user_id", "event_id", "content_id", "location", "unknown"]), st.none() | TEXT),
    st.tuples(st.just("timestamp"), st.sampled_from(TIMES)),
    st.tuples(st.just("metadata"), st.none() | st.lists(st.tuples(TEXT, TEXT), max_size=2)),
)


def written(pairs: list[tuple[str, Any]]) -> bytes:
    """An object with its pairs as they are, those written twice too."""
    values = [
        (name, written(value).decode() if type(value) is list else json.dumps(value, ensure_ascii=False))
        for name, value in pairs
    ]
    return ("{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in values) + "}").encode()


def read(raw: bytes) -> object | None:
    validator = Validator(NOW, date(2015, 1, 1))
    return validator.plain.read(raw)


def assert_both_ways_agree(raw: bytes) -> None:
    validator = Validator(NOW, date(2015, 1, 1))
    full = validator.judge_fully(raw, detect_family)
    assert validator.judge(raw) == full
    event = validator.plain.read(raw)
    if event is not None:
        expected = ValidEvent("engagement/1", event.event_type, event.user_id, event.event_id, event.timestamp)  # type: ignore[arg-type]
        assert full == expected


@pytest.mark.feature("S0-3")
@given(st.lists(FIELDS, max_size=6))
def test_the_short_way_and_the_full_way_agree_on_few_fields(fields: list[tuple[str, Any]]) -> None:
    assert_both_ways_agree(written([("event_type", "view"), ("platform", "web"), ("user_id", "u"), *fields]))


@given(st.lists(FIELDS, max_size=3), st.permutations(list(COMPLETE)))
def test_the_short_way_and_the_full_way_agree_on_complete_events(
    fields: list[tuple[str, Any]], order: list[str]
) -> None:
    overrides = dict(fields)
    pairs = [(name, overrides.get(name, COMPLETE[name])) for name in order]
    twice = [(name, value) for name, value in fields if name in ("location", "unknown")]
    values = [(name, list(value.items()) if type(value) is dict else value) for name, value in pairs + twice]
    assert_both_ways_agree(written([("event_type", "view"), ("platform", "web"), *values]))


@pytest.mark.parametrize("timestamp", TIMES)
def test_the_short_way_and_the_full_way_agree_on_every_spelling_of_a_time(timestamp: object) -> None:
    assert_both_ways_agree(encode(engagement(**{**COMPLETE, "timestamp": timestamp})))


def test_colons_in_texts_are_no_keys() -> None:
    texts = dict.fromkeys(("user_id", "event_id", "content_id", "session_id", "device_type", "location"), "a:b")
    event = engagement(**texts, metadata={"c:d": "e:f"}, timestamp="2026-11-21T09:30:00.000000Z")
    assert read(encode(event)) is not None
    twice = encode(event).replace(b'"location": "a:b"', b'"location": "x", "location": "a:b"')
    assert read(twice) is None
    verdict = Validator(NOW, date(2015, 1, 1)).judge(twice)
    assert isinstance(verdict, Rejection)
    assert verdict.reason is Reason.DUPLICATE_KEY


@pytest.mark.parametrize(
    "left_out", [(), ("event_id",), ("timestamp", "metadata"), tuple(sorted(set(COMPLETE) - {"user_id"}))]
)
def test_events_with_and_without_optional_fields_are_plain(left_out: tuple[str, ...]) -> None:
    event = engagement(**{name: value for name, value in COMPLETE.items() if name not in left_out})
    for name in left_out:
        event.pop(name, None)
    assert read(encode(event)) is not None


def test_a_stream_of_another_family_does_not_pay_for_engagements_it_does_not_hold() -> None:
    reader = PlainReader("2015-01-01T00:00:00.000000Z", "2027-01-01T00:00:00.000000Z")
    assert reader.read(b'{"event_type":"x","user_id":"u","payload":{}}') is None
    assert not reader.is_expected
