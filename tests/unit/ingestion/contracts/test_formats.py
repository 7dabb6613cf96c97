"""What is written from the contracts says what they say."""

import json
import re
from collections import Counter
from datetime import date
from typing import Any

import fastavro
import pytest
from jsonschema import Draft202012Validator

from ingestion.contracts.families import only
from ingestion.contracts.formats import avro, dictionary, json_schema, sql
from ingestion.contracts.registry import CONTRACTS
from ingestion.contracts.validation import Validator, ValidEvent
from scripts.contracts import ROOT
from tests.fixtures import bodies
from tests.unit.ingestion.builders import NOW


def documents(contract: str) -> list[tuple[bytes, Any]]:
    """The bodies of the table for a contract that are JSON at all, with their values."""
    found = []
    for name, body in bodies.ONE_FLAW_OR_NONE:
        if name == contract:
            try:
                found.append((body, json.loads(body)))
            except ValueError:
                continue
    return found


# To JSON Schema 1.0 is an integer, and a number has no size.
BEYOND_JSON_SCHEMA = ("got `float`", "Number out of range")


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_schema_accepts_every_valid_body_and_refuses_every_one_of_another_shape(contract: str) -> None:
    schema = json.loads(json_schema.render(CONTRACTS[contract]))
    Draft202012Validator.check_schema(schema)
    validator, judge = Draft202012Validator(schema), Validator(NOW, date(2015, 1, 1)).judge
    counts: Counter[str] = Counter()
    for body, document in documents(contract):
        verdict = judge(body, only(CONTRACTS[contract].family))
        if isinstance(verdict, ValidEvent):
            counts["valid"] += 1
            assert validator.is_valid(document), body
        elif "at `$" in verdict.message and not any(text in verdict.message for text in BEYOND_JSON_SCHEMA):
            counts["of another shape"] += 1
            assert not validator.is_valid(document), body
    assert counts["valid"] > 10
    assert counts["of another shape"] > 5


def test_rules_over_several_fields_are_in_the_schema() -> None:
    validator = Draft202012Validator(json.loads(json_schema.render(CONTRACTS["product/1"])))
    good = dict(bodies.GOOD_PRODUCT)
    assert validator.is_valid(good)
    assert not validator.is_valid({name: value for name, value in good.items() if name != "event_ts"})
    assert not validator.is_valid({name: value for name, value in good.items() if name != "variant"})


def test_the_dictionary_names_every_field_with_unit_and_personal_data() -> None:
    page = dictionary.render()
    assert all(f"## {name}\n" in page for name in CONTRACTS)
    assert "| `download.duration_seconds` | yes | number | ≥ 0 | s |  | `payload` | From its start" in page
    assert "| `author` | yes | string | length ≥ 1 |  | identifier | `user_id` |" in page
    assert "| `timestamp` | yes | integer |  | ms |  | `occurred_at` |" in page
    assert "| `metadata` | no | object of string or null | each length ≤ 1000 |" in page
    assert "| `hashtags` | yes | list of string | items ≥ 1, items ≤ 4; each length ≥ 1, length ≤ 100 |" in page
    assert "| `social/1` | yes | 1 | `user_created`, `post_created`, `comment_created`, `engagement_created` |" in page


def test_every_field_has_a_meaning_and_a_place_in_silver() -> None:
    columns = set(re.findall(r"{name: (\w+),", (ROOT / "dbt_project/models/silver/events.yml").read_text()))
    rows = [line.strip("| ").split(" | ") for line in dictionary.render().splitlines() if line.startswith("| `")]
    fields = [row for row in rows if len(row) > 4]
    assert len(fields) > 60
    for name, *_, silver, meaning in fields:
        assert silver.strip("`") in columns, name
        assert meaning.endswith((".", "above.")), name


def test_sql_has_rules_for_every_contract() -> None:
    text = sql.render()
    assert all(f"when contract = '{name}' then case" in text for name in CONTRACTS)


@pytest.mark.parametrize("contract", ["engagement/1", "download/1"])
def test_what_a_contract_takes_can_be_written_in_its_avro_schema(contract: str) -> None:
    schema = fastavro.parse_schema(avro.schema(CONTRACTS[contract]) or {})
    validator, rule = Validator(NOW, date(2015, 1, 1)), only(CONTRACTS[contract].family)
    taken = [value for body, value in documents(contract) if isinstance(validator.judge(body, rule), ValidEvent)]
    assert len(taken) > 5
    for value in taken:
        assert fastavro.validate(value, schema, raise_errors=False), value


def test_contracts_with_free_insides_or_several_shapes_have_no_avro_schema() -> None:
    assert {name for name, contract in CONTRACTS.items() if avro.schema(contract) is None} == {
        "product/1", "generic/1", "social/1", "segment/1", "cloudevent/1",
    }  # fmt: skip
