"""Events: filled in, checked by the contracts, written down once."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.contracts.validation import Rejection, Validator
from ingestion.sdk import Event, InvalidEventError, SDKValidationError
from ingestion.sdk.events import FIRST_DAY, SDK_VERSION, event_id_of, new_event_id
from tests.unit.ingestion.builders import NOW, comment, download, engagement, generic, product


def read(event: Event, app_id: str = "shop", source: str = "web") -> dict[str, Any]:
    document = json.loads(event.completed(app_id, source))
    assert isinstance(document, dict)
    return document


@pytest.mark.feature("S1-1")
def test_a_product_event_is_filled_in() -> None:
    event = Event.create("u1", "feature_exposed", "exp", "A", {"page": "/ü"}, now=NOW)
    milliseconds = int(NOW.timestamp() * 1000)
    assert read(event) == {
        "user_id": "u1",
        "event_type": "feature_exposed",
        "experiment_id": "exp",
        "variant": "A",
        "properties": {"page": "/ü"},
        "event_id": event.event_id,
        "event_ts": milliseconds,
        "producer_ts": milliseconds,
        "sdk_version": SDK_VERSION,
        "app_id": "shop",
        "source": "web",
    }
    assert event_id_of(event.raw) == event.event_id


def test_what_is_given_is_not_filled_in() -> None:
    given = {"event_id": "mine", "event_time": 1795253400000, "producer_ts": 1, "sdk_version": "x", "source": "y"}
    document = read(Event.create("u1", "page_view", now=NOW, app_id="shop", **given))
    assert {name: document[name] for name in given} == given
    assert "event_ts" not in document


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("engagement", engagement(event_id=..., timestamp=...)),
        ("generic", generic()),
        ("social", comment(event_id=..., timestamp=...)),
        ("download", download(event_id=..., timestamp=...)),
        ("product", product(event_id=..., event_ts=...)),
    ],
)
@pytest.mark.feature("S1-1")
def test_every_family_can_be_made_and_is_accepted_among_mixed_lines(family: str, fields: dict[str, Any]) -> None:
    event = Event.create(family=family, now=NOW, **fields)
    raw = event.completed("shop", "web")
    verdict = Validator(NOW, FIRST_DAY).judge(raw)
    assert not isinstance(verdict, Rejection), verdict
    assert verdict.contract.startswith(family)
    assert verdict.event_id == event.event_id
    assert verdict.occurred_at == "2026-11-21T09:30:00.000000Z"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"user_id": None}, "missing_field"),
        ({"user_id": ""}, "invalid_field"),
        ({"user_id": " \t"}, "invalid_field"),
        ({"user_id": "u" * 101}, "invalid_field"),
        ({"user_id": 7}, "invalid_field"),
        ({"event_type": None}, "missing_field"),
        ({"event_type": "purchase"}, "invalid_field"),
        ({"experiment_id": "exp"}, "missing_field"),
        ({"experiment_id": "", "variant": "A"}, "invalid_field"),
        ({"properties": ["a"]}, "invalid_field"),
        ({"properties": {"a": float("nan")}}, "not_finite_number"),
        ({"properties": {"a": datetime(2026, 1, 1, tzinfo=UTC)}}, "invalid_field"),
        ({"properties": {"a": "\ud800"}}, "malformed_json"),
        ({"properties": {"a": 2**64}}, "number_out_of_range"),
        ({"properties": {1: "a", "1": "b"}}, "duplicate_key"),
        ({"properties": {"a": "x" * 1024 * 1024}}, "body_too_large"),
        ({"event_ts": 1795253400}, "before_first_day"),
        ({"event_ts": 1795253400000 + 61_000}, "occurred_in_future"),
        ({"event_ts": 1795253400000, "event_time": 1}, "invalid_field"),
        ({"event_id": " "}, "invalid_field"),
        ({"payload": {}}, "unknown_family"),
        ({"family": "orders"}, "unknown_family"),
        ({"family": "engagement"}, "invalid_field"),
    ],
)
@pytest.mark.feature("S1-2")
def test_what_breaks_the_contract_is_refused_with_the_edges_reason(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        Event.create(**{"user_id": "u1", "event_type": "page_view", "now": NOW, **arguments})
    assert caught.value.reason == reason


def test_deep_and_circular_values_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    circular: dict[str, Any] = {}
    circular["self"] = circular
    for value in (deep, circular):
        with pytest.raises(SDKValidationError):
            Event.create("u1", "page_view", properties={"a": value}, now=NOW)


def test_an_event_of_another_app_is_refused() -> None:
    with pytest.raises(InvalidEventError, match="wrong_app"):
        Event.create("u1", "page_view", now=NOW, app_id="other").completed("shop", "web")


def test_changing_the_properties_afterwards_changes_nothing() -> None:
    properties = {"a": 1}
    event = Event.create("u1", "page_view", properties=properties, now=NOW)
    properties["a"] = 2
    assert read(event)["properties"] == {"a": 1}


def test_ids_are_uuids_of_version_7_that_sort_by_time() -> None:
    ids = [new_event_id(datetime.fromtimestamp(second, UTC)) for second in range(1_700_000_000, 1_700_000_200)]
    assert ids == sorted(ids)
    assert {(UUID(event_id).version, UUID(event_id).variant) for event_id in ids} == {(7, "specified in RFC 4122")}
    assert UUID(ids[0]).int >> 80 == 1_700_000_000_000


texts = st.text(
    alphabet='aB1 :\\"ü\0\ud800', max_size=4
)  # few characters: Hypothesis takes seconds to list all of Unicode
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    fields=st.dictionaries(
        st.sampled_from(["user_id", "event_type", "experiment_id", "variant", "properties", "event_ts", "event_id"]),
        json_values | st.sampled_from(["A", "page_view", "u1", 1795253400000]),
    )
)
@pytest.mark.feature("S1-2")
def test_whatever_is_given_is_refused_here_or_accepted_by_the_edges_rules(fields: dict[str, Any]) -> None:
    try:
        event = Event.create(**{"user_id": "u", "event_type": "conversion", "now": NOW, **fields})
        raw = event.completed("shop", "web")
    except SDKValidationError:
        return
    verdict = Validator(NOW, FIRST_DAY).judge(raw)
    assert not isinstance(verdict, Rejection)
    assert verdict.claims is not None
    assert (verdict.event_id, verdict.contract, verdict.claims.app_id) == (event.event_id, "product/1", "shop")
