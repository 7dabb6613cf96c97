"""Every rule of the envelope table, from both sides."""

from datetime import date
from typing import Any

import pytest

from ingestion.contracts.families import Family, only
from ingestion.contracts.reasons import Reason
from ingestion.contracts.validation import Rejection, Validator, ValidEvent
from tests.unit.ingestion.builders import NOW, comment, download, encode, engagement, generic, product

ENGAGEMENT, GENERIC = only(Family.ENGAGEMENT), only(Family.GENERIC)


def judge(event: Any, rule: Any = ENGAGEMENT) -> ValidEvent | Rejection:
    return Validator(NOW, date(2015, 1, 1)).judge(event if isinstance(event, bytes) else encode(event), rule)


VALID_ENGAGEMENTS = [
    *[{"event_type": kind} for kind in ("click", "like", "comment", "share", "view")],
    *[{"platform": platform} for platform in ("web", "ios", "android", "mobile_web")],
    {"user_id": "u"},
    {"user_id": "u" * 100},
    {"user_id": "  " + "u" * 100 + "\t\n"},
    {"user_id": "ü" * 100},
    {"event_id": ...},
    {"event_id": None},
    {"event_id": "x" * 200},
    {"content_id": "c" * 100},
    {"content_id": None},
    {"session_id": "s" * 100},
    {"device_type": "d" * 50},
    {"location": "l" * 100},
    {"metadata": {}},
    {"metadata": {"a": "x" * 1000, "b": ""}},
    {"metadata": None},
    {"timestamp": None},
    {"timestamp": "2026-11-21T09:30:00Z"},
    {"timestamp": "2026-11-21T09:31:00Z"},
    {"timestamp": "2015-01-01T00:00:00Z"},
    {"unknown_field": {"kept": ["in", "the", "bytes"]}},
]
INVALID_ENGAGEMENTS = [
    ({"event_type": ...}, Reason.MISSING_FIELD),
    ({"user_id": ...}, Reason.MISSING_FIELD),
    ({"platform": ...}, Reason.MISSING_FIELD),
    ({"event_type": "purchase"}, Reason.INVALID_FIELD),
    ({"event_type": "View"}, Reason.INVALID_FIELD),
    ({"event_type": None}, Reason.INVALID_FIELD),
    ({"platform": "toaster"}, Reason.INVALID_FIELD),
    ({"user_id": ""}, Reason.INVALID_FIELD),
    ({"user_id": " \t\n"}, Reason.INVALID_FIELD),
    ({"user_id": "u" * 101}, Reason.INVALID_FIELD),
    ({"user_id": 7}, Reason.INVALID_FIELD),
    ({"user_id": "a\0b"}, Reason.INVALID_FIELD),
    ({"event_id": ""}, Reason.INVALID_FIELD),
    ({"event_id": "  "}, Reason.INVALID_FIELD),
    ({"event_id": "x" * 201}, Reason.INVALID_FIELD),
    ({"event_id": 12}, Reason.INVALID_FIELD),
    ({"content_id": "c" * 101}, Reason.INVALID_FIELD),
    ({"session_id": "s" * 101}, Reason.INVALID_FIELD),
    ({"device_type": "d" * 51}, Reason.INVALID_FIELD),
    ({"location": "l" * 101}, Reason.INVALID_FIELD),
    ({"metadata": {"a": "x" * 1001}}, Reason.INVALID_FIELD),
    ({"metadata": {"a": 1}}, Reason.INVALID_FIELD),
    ({"metadata": {"a": None}}, Reason.INVALID_FIELD),
    ({"metadata": "text"}, Reason.INVALID_FIELD),
    ({"timestamp": "yesterday"}, Reason.INVALID_FIELD),
    ({"timestamp": True}, Reason.INVALID_FIELD),
    ({"timestamp": "2026-11-21"}, Reason.INVALID_FIELD),
    ({"timestamp": "2026-11-21T09:31:00.000001Z"}, Reason.OCCURRED_IN_FUTURE),
    ({"timestamp": "9999-12-31T23:59:59Z"}, Reason.OCCURRED_IN_FUTURE),
    ({"timestamp": "2014-12-31T23:59:59.999999Z"}, Reason.BEFORE_FIRST_DAY),
    ({"timestamp": -1}, Reason.BEFORE_FIRST_DAY),
    ({"unknown_field": 2**70}, Reason.NUMBER_OUT_OF_RANGE),
]


@pytest.mark.feature("S0-3")
@pytest.mark.parametrize("overrides", VALID_ENGAGEMENTS, ids=lambda value: repr(value)[:50])
def test_an_engagement_within_the_rules_is_valid(overrides: dict[str, Any]) -> None:
    verdict = judge(engagement(**overrides))
    assert isinstance(verdict, ValidEvent), verdict
    assert verdict.contract == "engagement/1"


@pytest.mark.feature("S0-3")
@pytest.mark.parametrize(("overrides", "reason"), INVALID_ENGAGEMENTS, ids=lambda value: repr(value)[:50])
def test_an_engagement_outside_a_rule_is_rejected_with_its_reason(overrides: dict[str, Any], reason: Reason) -> None:
    verdict = judge(engagement(**overrides))
    assert isinstance(verdict, Rejection), verdict
    assert verdict.reason is reason
    assert len(verdict.message) <= 200


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({}, None),
        ({"payload": {}}, None),
        ({"event_type": "t" * 100}, None),
        ({"payload": {"deep": [{"a": 1}, {"a": 2}]}}, None),
        ({"payload": ...}, Reason.MISSING_FIELD),
        ({"payload": None}, Reason.INVALID_FIELD),
        ({"payload": [1]}, Reason.INVALID_FIELD),
        ({"event_type": ""}, Reason.INVALID_FIELD),
        ({"event_type": "t" * 101}, Reason.INVALID_FIELD),
        ({"user_id": " "}, Reason.INVALID_FIELD),
        ({"payload": {"n": 2**64}}, Reason.NUMBER_OUT_OF_RANGE),
    ],
    ids=lambda value: repr(value)[:50],
)
@pytest.mark.feature("S2-1")
def test_generic_rules(overrides: dict[str, Any], reason: Reason | None) -> None:
    verdict = judge(generic(**overrides), GENERIC)
    assert (verdict.reason if isinstance(verdict, Rejection) else None) is reason


def test_user_id_is_trimmed_and_known_values_survive_a_rejection() -> None:
    valid = judge(engagement(user_id="  u 1 "))
    assert isinstance(valid, ValidEvent)
    assert valid.user_id == "u 1"
    rejected = judge(engagement(user_id=" u1 ", platform="toaster"))
    assert isinstance(rejected, Rejection)
    assert (rejected.user_id, rejected.event_id, rejected.event_type) == ("u1", "e-1", "view")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"event_type":"view","user_id":"a","platform":"web","user_id":"b"}', Reason.DUPLICATE_KEY),
        (b'{"event_type":"view","user_id":"a","platform":"web","metadata":{"k":"1","k":"2"}}', Reason.DUPLICATE_KEY),
        (
            b'{"event_type":"view","user_id":"a","platform":"web","timestamp":"2026-11-21T09\\u003a30\\u003a00Z",'
            b'"user_id":"b","platform":"ios"}',
            Reason.DUPLICATE_KEY,
        ),
        (b'{"event_type":"view","user_id":"a","platform":"web","x":"\\ud800"}', Reason.MALFORMED_JSON),
        (b"[]", Reason.NOT_AN_OBJECT),
        (b'"text"', Reason.NOT_AN_OBJECT),
        (b"7", Reason.NOT_AN_OBJECT),
        (b"null", Reason.NOT_AN_OBJECT),
    ],
)
def test_ambiguous_events_are_rejected(text: bytes, reason: Reason) -> None:
    verdict = judge(text)
    assert isinstance(verdict, Rejection)
    assert verdict.reason is reason


@pytest.mark.parametrize(
    ("event", "contract"),
    [
        (engagement(), "engagement/1"),
        (generic(), "generic/1"),
        (engagement(payload={}), "generic/1"),
        (generic(payload=...), None),
        (generic(event_ts=1), None),
        (engagement(event_time=1795253400000), None),
        (product(), "product/1"),
        (product(event_ts=..., event_time=1795253400000), "product/1"),
        (comment(), "social/1"),
        (comment(event_type="comment_deleted"), None),
        (download(), "download/1"),
        (download(platform="web"), None),
        (generic(event_type="user_created", payload={"download": {}}), "generic/1"),
    ],
    ids=repr,
)
def test_the_family_of_a_mixed_line_follows_its_fields(event: dict[str, Any], contract: str | None) -> None:
    verdict = Validator(NOW, date(2015, 1, 1)).judge(encode(event))
    if contract is None:
        assert isinstance(verdict, Rejection)
        assert verdict.reason is Reason.UNKNOWN_FAMILY
    else:
        assert isinstance(verdict, ValidEvent)
        assert verdict.contract == contract


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({}, None),
        ({"event_ts": ..., "event_time": 1795253400000}, None),
        ({"event_time": 1795253400000}, None),
        ({"event_time": 1795253400001}, Reason.INVALID_FIELD),
        ({"event_ts": ...}, Reason.MISSING_FIELD),
        ({"event_ts": "2026-11-21T09:30:00Z"}, Reason.INVALID_FIELD),
        ({"event_ts": 1795253400}, Reason.BEFORE_FIRST_DAY),
        ({"event_ts": 1795253460001}, Reason.OCCURRED_IN_FUTURE),
        ({"event_ts": -1}, Reason.BEFORE_FIRST_DAY),
        ({"event_ts": 10**15}, Reason.INVALID_FIELD),
        ({"event_type": "click"}, Reason.INVALID_FIELD),
        ({"user_id": " "}, Reason.INVALID_FIELD),
        ({"event_id": ...}, Reason.MISSING_FIELD),
        ({"experiment_id": "checkout", "variant": "B"}, None),
        ({"experiment_id": "checkout"}, Reason.MISSING_FIELD),
        ({"variant": "B"}, None),
        ({"properties": {"a": [1]}}, None),
        ({"properties": []}, Reason.INVALID_FIELD),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_product_rules(overrides: dict[str, Any], reason: Reason | None) -> None:
    verdict = judge(product(**overrides), only(Family.PRODUCT))
    assert (verdict.reason if isinstance(verdict, Rejection) else None) is reason


@pytest.mark.parametrize(
    ("event", "family", "stamps"),
    [
        (product(), Family.PRODUCT, ("product/1", "page_view", "user_1", "p-1")),
        (comment(), Family.SOCIAL, ("social/1", "comment_created", "user_1", "s-1")),
        (download(), Family.DOWNLOAD, ("download/1", "download", "user_1", "d-1")),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_every_family_says_what_happened_who_acted_and_when(
    event: dict[str, Any], family: Family, stamps: tuple[str, str, str, str]
) -> None:
    verdict = judge(event, only(family))
    assert verdict == ValidEvent(*stamps, "2026-11-21T09:30:00.000000Z")


@pytest.mark.parametrize(
    ("event", "family"),
    [
        (comment(upvotes=-1), Family.SOCIAL),
        (comment(author=...), Family.SOCIAL),
        (comment(event_type="post_created", text="t", hashtags=list("abcde")), Family.SOCIAL),
        (download(content={}), Family.DOWNLOAD),
        (download(timestamp="2026-11-21T09:30:00Z"), Family.DOWNLOAD),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_broken_rule_of_any_family_rejects(event: dict[str, Any], family: Family) -> None:
    assert isinstance(judge(event, only(family)), Rejection)
