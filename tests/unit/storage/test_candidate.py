"""A proposed contract: what is one, and what it says about a body without saying what is in it."""

import copy
import json
from datetime import date
from typing import Any

import pytest

from ingestion.contracts.families import OWN_FAMILIES, only
from ingestion.contracts.formats import json_schema
from ingestion.contracts.registry import CONTRACTS
from ingestion.contracts.validation import Rejection, Validator
from storage.candidate import Candidate, CandidateError, Fault
from tests.fixtures import bodies
from tests.unit.ingestion.builders import NOW

# What no schema says: rules of every version, and that a null is as good as no field where one asks for the other.
BEYOND_A_SCHEMA = (
    "after trimming", "got `float`", "Number out of range", "timestamp:", "is blank", "milliseconds must", "U+0000", "asks for", "(or `",
)  # fmt: skip


def proposal(name: str = "engagement/1", **changes: Any) -> Candidate:
    """A contract of today under the next number, with properties of its first shape changed."""
    schema = copy.deepcopy(json_schema.document(CONTRACTS[name]))
    schema["$id"] = f"{name[:-1]}2"
    next(iter(schema["$defs"].values()))["properties"].update(changes)
    return Candidate.parse(json.dumps(schema))


OWN_CONTRACTS = [name for name, contract in CONTRACTS.items() if contract.family in OWN_FAMILIES]


@pytest.mark.parametrize(
    ("contract", "body", "expected"),
    [
        ("segment/1", {"type": "page", "userId": "u"}, []),
        ("segment/1", {"type": "track", "userId": "u"}, [Fault("missing_field", "event", "required")]),
        ("segment/1", {"type": "page", "userId": 7}, [Fault("invalid_field", "userId", 'type "string"')]),
        ("cloudevent/1", {"specversion": "1.0", "id": "1", "source": "/a", "type": "t", "ext": 7}, []),
        ("cloudevent/1", {"specversion": "1.0", "id": "1", "source": "/a", "type": "t", "data": 1, "data_base64": ""}, [
            Fault("invalid_field", "", 'not {"required": ["data", "data_base64"]}'),
        ]),
    ],
)  # fmt: skip
def test_rules_of_protocols_are_judged(contract: str, body: dict[str, Any], expected: list[Fault]) -> None:
    assert Candidate.parse(json_schema.render(CONTRACTS[contract])).faults(json.dumps(body).encode()) == expected


def test_a_name_that_may_not_be_is_told_without_the_name() -> None:
    candidate = Candidate.parse(json_schema.render(CONTRACTS["cloudevent/1"]))
    body = {"specversion": "1.0", "id": "1", "source": "/a", "type": "t", "Jane Doe": 7}
    faults = candidate.faults(json.dumps(body).encode())
    assert faults
    assert "Jane" not in str(faults)


@pytest.mark.parametrize("contract", OWN_CONTRACTS)
def test_the_contract_of_today_says_of_every_body_what_the_validator_says(contract: str) -> None:
    candidate = Candidate.parse(json_schema.render(CONTRACTS[contract]))
    judge = Validator(NOW, date(2015, 1, 1)).judge
    compared = 0
    for name, body in bodies.ONE_FLAW_OR_NONE:
        verdict = judge(body, only(CONTRACTS[contract].family))
        if name != contract or not body.startswith(b'{"'):
            continue
        if not isinstance(verdict, Rejection):
            assert candidate.faults(body) == [], body
        elif verdict.reason in ("missing_field", "invalid_field") and not any(
            text in verdict.message for text in BEYOND_A_SCHEMA
        ):
            assert verdict.reason in {fault.reason for fault in candidate.faults(body)}, (body, verdict.message)
            compared += 1
    assert compared > 5


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (bodies.engagement(location="x" * 11), [Fault("invalid_field", "location", "maxLength 10")]),
        (bodies.engagement(platform=..., location=7), [
            Fault("invalid_field", "location", 'type "string"'), Fault("missing_field", "platform", "required"),
        ]),
        (bodies.engagement(location=None, metadata={"Jane Doe": "x" * 1001}), [Fault("invalid_field", "metadata.*", "maxLength 1000")]),
        (b"{", [Fault("malformed_json", "", "")]),
        (b"[]", [Fault("invalid_field", "", 'type "object"')]),
    ],
)  # fmt: skip
def test_a_fault_names_reason_field_and_rule(body: bytes, expected: list[Fault]) -> None:
    candidate = proposal(location={"anyOf": [{"type": "string", "maxLength": 10}, {"type": "null"}]})
    assert sorted(candidate.faults(body), key=lambda fault: fault.path) == expected


def test_of_several_shapes_the_one_whose_word_fits_is_meant() -> None:
    candidate = proposal("social/1")
    assert candidate.faults(bodies.social("post_created", hashtags=[], author=...)) == [
        Fault("missing_field", "author", "required"),
        Fault("invalid_field", "hashtags", "minItems 1"),
    ]


def test_a_closed_schema_does_not_tell_the_name_of_the_field_that_it_refuses() -> None:
    schema = {"$id": "generic/2", "type": "object", "properties": {"a": {}}, "additionalProperties": False}
    faults = Candidate.parse(json.dumps(schema)).faults(b'{"a":1,"Jane Doe":2}')
    assert [(fault.path, fault.rule) for fault in faults] == [("*", "additionalProperties false")]


def test_our_own_rule_over_two_fields_is_kept() -> None:
    [fault] = proposal("product/1").faults(bodies.product(event_time=1))
    assert fault.rule.startswith("x-same")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "expected a JSON Schema"),
        ("{}", "must be FAMILY/VERSION"),
        ('{"$id": "weather/1"}', "with a family of engagement"),
        ('{"$id": "generic/1.5"}', "must be FAMILY/VERSION"),
        ('{"$id": "generic/2", "not": {}}', "cannot compare not"),
        ('{"$id": "generic/2", "$ref": "http://example.com/schema"}', "nothing is at"),
        ('{"$id": "generic/2", "type": "string", "maxLength": -1}', "not a JSON Schema"),
    ],
)
def test_what_is_no_proposal_is_refused_with_what_is_expected(text: str, complaint: str) -> None:
    with pytest.raises(CandidateError, match=complaint):
        Candidate.parse(text)
