"""A second version of a contract, from the line in the registry to SQL, JSON Schema and the verdict: proven with one made up."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any, Literal

import msgspec
import pytest
from jsonschema import Draft202012Validator

from ingestion.contracts.compatibility import Direction, differences
from ingestion.contracts.engagement import EngagementEvent
from ingestion.contracts.families import Family, only
from ingestion.contracts.fields import EventId, Key, UserId
from ingestion.contracts.formats import dictionary, json_schema, sql
from ingestion.contracts.reasons import Reason
from ingestion.contracts.registry import CONTRACTS, REGISTRY, Contract, Registry, UnknownContractError
from ingestion.contracts.validation import Rejection, Validator, ValidEvent
from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import NOW, EdgeClient, encode, engagement, generic

Judge = Callable[..., ValidEvent | Rejection]


class EngagementEvent2(EngagementEvent, kw_only=True, gc=False):
    """What a second version might be: a new word of types, and a language that must be said."""

    event_type: Literal["click", "like", "comment", "share", "view", "save"]  # type: ignore[assignment]  # one word more
    language: Key


SECOND = Contract("engagement/2", EngagementEvent2)
EVERYTHING = Registry.of([*CONTRACTS.values(), SECOND])


def judge(event: dict[str, Any], registry: Registry = EVERYTHING, contract: Contract | None = None) -> Any:
    return Validator(NOW, date(2015, 1, 1), registry).judge(encode(event), only(Family.ENGAGEMENT), contract)


def test_both_versions_are_taken_and_the_higher_number_is_the_newest_whatever_the_order() -> None:
    for order in ([*CONTRACTS.values(), SECOND], [SECOND, *CONTRACTS.values()]):
        registry = Registry.of(order)
        assert [item.name for item in registry.accepted[Family.ENGAGEMENT]] == ["engagement/2", "engagement/1"]
        assert registry.newest[Family.ENGAGEMENT] is SECOND
    assert REGISTRY.newest[Family.ENGAGEMENT].version == 1


def test_an_event_is_of_the_newest_version_that_it_keeps() -> None:
    assert judge(engagement(language="de")).contract == "engagement/2"
    assert judge(engagement()).contract == "engagement/1"  # a client of the first version knows no language
    assert judge(engagement(language=7)).contract == "engagement/1"
    assert judge(engagement(), REGISTRY).contract == "engagement/1"


def test_an_event_of_no_version_is_told_what_the_newest_one_asks_for() -> None:
    verdict = judge(engagement(platform=...))
    assert (verdict.reason, "platform" in verdict.message) == (Reason.MISSING_FIELD, True)
    assert "language" in judge(engagement(event_type="save")).message


def test_a_sender_that_names_a_version_is_held_to_it() -> None:
    assert judge(engagement(language="de"), contract=EVERYTHING.choose("engagement/1")).contract == "engagement/1"
    verdict = judge(engagement(), contract=EVERYTHING.choose("engagement/2"))
    assert (verdict.reason, "language" in verdict.message) == (Reason.MISSING_FIELD, True)
    verdict = judge(engagement(), contract=EVERYTHING.choose("generic/1"))
    assert verdict.reason is Reason.UNKNOWN_CONTRACT


def test_a_retired_version_is_known_but_not_taken() -> None:
    retired = Registry.of(
        [Contract("engagement/1", EngagementEvent, is_retired=True), *list(CONTRACTS.values())[1:], SECOND]
    )
    assert judge(engagement(), retired).reason is Reason.MISSING_FIELD
    assert judge(engagement(), retired, retired.contracts["engagement/1"]).contract == "engagement/1"
    with pytest.raises(UnknownContractError, match="there are engagement/2"):
        retired.choose("engagement/1")


@pytest.mark.parametrize(
    "contracts",
    [[SECOND, SECOND], [Contract("engagement/1", EngagementEvent, is_retired=True)]],
    ids=["a name twice", "none left"],
)
def test_a_registry_that_makes_no_sense_is_refused(contracts: list[Contract]) -> None:
    with pytest.raises(ValueError, match="engagement"):
        Registry.of(contracts)


def test_sql_has_the_rules_of_both_versions_and_one_family() -> None:
    text = sql.render(EVERYTHING.contracts.values())
    assert "when contract = 'engagement/1' then case" in text
    second = text.split("when contract = 'engagement/2' then case")[1].split("when contract =")[0]
    assert "missing_field:language" in second
    assert "missing_field:language" not in text.split("when contract = 'engagement/2'")[0]
    assert "\"engagement\": \"contract in ('engagement/1', 'engagement/2')\"" in text


def test_the_objects_inside_bodies_have_the_fields_of_all_versions() -> None:
    class Content2(msgspec.Struct):
        content_id: Key
        licence: Key

    class Download2(msgspec.Struct):
        event_id: EventId
        user_id: UserId
        content: Content2

    text = sql.render([CONTRACTS["download/1"], Contract("download/2", Download2, "download")])
    fields = json.loads(text.split('"content": ')[1].split("]")[0] + "]")
    assert fields == ["content_id", "title", "type", "category", "size_mb", "price", "licence"]


def test_schema_dictionary_and_compatibility_know_both() -> None:
    assert "engagement-2.schema.json" in json_schema.files(EVERYTHING.contracts.values())
    assert "## engagement/2" in dictionary.render(EVERYTHING.contracts.values())
    old, new = (json_schema.document(EVERYTHING.contracts[name]) for name in ("engagement/1", "engagement/2"))
    assert Draft202012Validator(new).is_valid(engagement(language="de"))
    assert not Draft202012Validator(new).is_valid(engagement())
    found = {(item.path, item.breaks) for item in differences(old, new)}
    assert ("language", Direction.BACKWARD) in found
    assert ("event_type", Direction.FORWARD) in found


def test_a_client_names_the_version_in_a_header() -> None:
    sink = InMemorySink()
    with EdgeClient(sink) as client:
        named = {"X-Tidemark-Contract": "engagement/1"}
        assert client.post("/api/v1/events", json=engagement(), headers=named).status_code == 201
        mixed = client.post("/v1/batch", content=encode(engagement()) + b"\n" + encode(generic()), headers=named)
        assert [(error["index"], error["code"]) for error in mixed.json()["errors"]] == [(1, "unknown_contract")]
        before = len(sink.records)
        refused = client.post("/api/v1/events", json=engagement(), headers={"X-Tidemark-Contract": "engagement/9"})
        assert (refused.status_code, "engagement/1" in refused.json()["message"]) == (422, True)
        assert len(sink.records) == before
