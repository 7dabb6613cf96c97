"""Fixes: what each operation makes of a body, which rule is applied, and what cannot be used is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingestion.contracts.families import Family
from ingestion.contracts.validation import Rejection
from ingestion.redrive.errors import FixError
from ingestion.redrive.fixes import FixRule, MappingFix, Repaired, RuleFix, load_fix
from tests.unit.ingestion.redrive.records import letter


def repaired(body: Any, reason: str = "missing_field", **rule: Any) -> Any:
    """The body after one rule, or the rejection's message."""
    record = letter(body=body, reason=reason)
    found = RuleFix((FixRule.model_validate(rule),)).apply(record, record.value)
    return found.message if isinstance(found, Rejection) else json.loads(found.body)


@pytest.mark.parametrize(
    ("rule", "body", "expected"),
    [
        ({"set": {"platform": "web"}}, {"a": 1}, {"a": 1, "platform": "web"}),
        ({"set": {"a.b.c": 5}}, {}, {"a": {"b": {"c": 5}}}),
        ({"set": {"a.b": 5}}, {"a.b": 1}, {"a.b": 5}),
        ({"set": {"a.b": 5}}, {"a": 1}, "a.b lies in what is no object"),
        ({"rename": {"uid": "user_id"}}, {"uid": "u"}, {"user_id": "u"}),
        ({"rename": {"uid": "user_id"}}, {"user_id": "u"}, {"user_id": "u"}),
        ({"rename": {"who.id": "user_id"}}, {"who": {"id": "u", "x": 1}}, {"who": {"x": 1}, "user_id": "u"}),
        ({"drop": ["junk", "a.b"]}, {"junk": 1, "a": {"b": 2, "c": 3}}, {"a": {"c": 3}}),
        ({"drop": ["absent.field"]}, {"a": 1}, {"a": 1}),
        ({"cast": {"n": "integer"}}, {"n": "12"}, {"n": 12}),
        ({"cast": {"n": "integer"}}, {"n": 12.0}, {"n": 12}),
        ({"cast": {"n": "integer"}}, {"n": 12.5}, "n cannot be cast to integer"),
        ({"cast": {"n": "number"}}, {"n": "1.5"}, {"n": 1.5}),
        ({"cast": {"n": "number"}}, {"n": "much"}, "n cannot be cast to number"),
        ({"cast": {"n": "text"}}, {"n": 7}, {"n": "7"}),
        ({"cast": {"n": "boolean"}}, {"n": "Yes"}, {"n": True}),
        ({"cast": {"n": "boolean"}}, {"n": 2}, "n cannot be cast to boolean"),
        ({"cast": {"t": "epoch_seconds"}}, {"t": 0}, {"t": "1970-01-01T00:00:00.000000Z"}),
        ({"cast": {"t": "%d.%m.%Y"}}, {"t": "21.11.2026"}, {"t": "2026-11-21T00:00:00.000000Z"}),
        ({"cast": {"t": "rfc3339"}}, {"t": None}, {"t": None}),
        ({"cast": {"absent": "text"}}, {"a": 1}, {"a": 1}),
        # Renamed, then given, then cast, then dropped.
        ({"rename": {"x": "n"}, "set": {"m": "3"}, "cast": {"n": "integer", "m": "integer"}, "drop": ["y"]},
         {"x": "1", "y": 2}, {"n": 1, "m": 3}),
    ],
)  # fmt: skip
def test_a_rule_repairs_fields(rule: dict[str, Any], body: dict[str, Any], expected: Any) -> None:
    assert repaired(body, **rule) == expected


@pytest.mark.parametrize("body", [b"{", b'{"a":1,"a":2}', b"[1]", b"\xff"])
def test_what_is_not_readable_is_not_repaired(body: bytes) -> None:
    found = RuleFix((FixRule.model_validate({"set": {"a": 1}}),)).apply(letter(body=body), body)
    assert isinstance(found, Rejection)


def test_the_first_rule_that_fits_is_applied_and_a_record_that_none_fits_keeps_its_bytes() -> None:
    fix = RuleFix(
        (
            FixRule.model_validate({"reasons": ["missing_field"], "types": ["like"], "set": {"by": 1}}),
            FixRule.model_validate({"reasons": ["missing_field"], "set": {"by": 2}}),
            FixRule.model_validate({"reasons": ["unknown_family"], "family": "generic"}),
        )
    )

    def by(body: Any, **changes: Any) -> Repaired | Rejection:
        record = letter(body=body, **changes)
        return fix.apply(record, record.value)

    assert by({"event_type": "like"}) == Repaired(b'{"event_type":"like","by":1}')
    assert by({"a": 0}, event_type="like") == Repaired(b'{"a":0,"by":1}')
    assert by({"event_type": "view"}, reason="missing_field:user_id") == Repaired(b'{"event_type":"view","by":2}')
    assert by(b" {} ", reason="unknown_family") == Repaired(b" {} ", Family.GENERIC)
    assert by(b" {} ", reason="too_deep") == Repaired(b" {} ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules [", "fix.toml"),
        ("", "rules"),
        ("rules = []", "rules"),
        ("[[rules]]\ntypo = 1\n", "rules.0.typo"),
        ('[[rules]]\nfamily = "weather"\n', "rules.0.family"),
        ('[[rules]]\ncast = { n = "float" }\n', "expected text, integer"),
        ('format = "csv"\n[columns]\nuser_id = "u"\ntimestamp = "t"\nevent_type = "k"\n[[rules]]\nfamily = "generic"\n', "header"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "fix.toml"
    path.write_text(text)
    with pytest.raises(FixError, match=told):
        load_fix(path)


def test_a_mapping_of_an_import_is_a_fix(tmp_path: Path) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text('[columns]\nuser_id = "u"\ntimestamp = "t"\nevent_type = "k"\n[[rules]]\nfamily = "generic"\n')
    fix = load_fix(path)
    assert isinstance(fix, MappingFix)
    found = fix.apply(letter(), b'{"u": 5, "t": "2026-01-01T00:00:00Z", "k": "sold"}')
    assert isinstance(found, Repaired)
    assert found.family is Family.GENERIC
    assert json.loads(found.body)["user_id"] == "5"


def test_the_fingerprint_is_of_the_meaning() -> None:
    def fingerprint(**rule: Any) -> str | None:
        return RuleFix((FixRule.model_validate(rule),)).fingerprint

    assert fingerprint(set={"a": 1}) == fingerprint(set={"a": 1}) != fingerprint(set={"a": 2})
