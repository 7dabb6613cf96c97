"""The contracts as JSON Schema (draft 2020-12, as OpenAPI 3.1 takes it)."""

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from ingestion.contracts.registry import CONTRACTS, Contract
from ingestion.contracts.rules import AnyOf, FreeFields, Matches, Needs, NeedsWhere, Rule, Same

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def components(contracts: list[Contract], ref_template: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(a schema for each contract, the named schemas that these refer to), with the rules that span several fields."""
    schemas, named = msgspec.json.schema_components([item.shape for item in contracts], ref_template=ref_template)
    for contract in contracts:
        rules: tuple[Rule, ...] = getattr(contract.shape, "RULES", ())
        for rule in rules:
            _add(named[contract.shape.__name__], rule)
        if contract.free_fields is not None:
            _add_free_fields(named[contract.shape.__name__], contract.free_fields)
    return list(schemas), named


def document(contract: Contract) -> dict[str, Any]:
    """A contract's own schema."""
    [schema], named = components([contract], "#/$defs/{name}")
    return {"$schema": DRAFT, "$id": contract.name, "title": contract.name, **schema, "$defs": named}


def render(contract: Contract) -> str:
    """The text of a contract's own schema file."""
    return json.dumps(document(contract), indent=2, ensure_ascii=False) + "\n"


def files(contracts: Iterable[Contract] = tuple(CONTRACTS.values())) -> dict[str, str]:
    """File name → text, one for each contract."""
    return {f"{contract.name.replace('/', '-')}.schema.json": render(contract) for contract in contracts}


def _add(schema: dict[str, Any], rule: Rule) -> None:
    match rule:
        case AnyOf(names=(one, other)):
            schema["anyOf"] = [{"required": [one]}, {"required": [other]}]
        case Needs(names=(one, other)):
            schema.setdefault("dependentRequired", {})[one] = [other]
        case NeedsWhere(names=(one, other)):
            is_asked = {"properties": {one: {"const": rule.value}}}
            schema.setdefault("allOf", []).append({"if": is_asked, "then": {"required": [other]}})
        case Matches():
            field = schema["properties"][rule.names[0]]
            [text] = [option for option in field.get("anyOf", [field]) if option.get("type") == "string"]
            text["pattern"] = _pattern(rule.pattern)
        case Same(
            names=(one, other)
        ):  # JSON Schema cannot compare two fields: a word of our own, for those who compare versions
            schema["$comment"] = f"{one} and {other}, where both are there, say the same."
            schema.setdefault("x-same", []).append([one, other])


def _add_free_fields(schema: dict[str, Any], rule: FreeFields) -> None:
    least, most = rule.INTEGERS
    schema["not"] = {"required": list(rule.exclusive)}
    schema["propertyNames"] = {
        "anyOf": [{"enum": sorted(rule.known)}, {"pattern": _pattern(rule.name_pattern)}],
    }
    schema["additionalProperties"] = {
        "type": ["string", "boolean", "integer", "null"],
        "pattern": _pattern(rule.text_pattern),
        "minimum": least,
        "maximum": most,
    }


def _pattern(pattern: str) -> str:
    """The whole text's pattern; without code points beyond 16 bits, for which JSON Schema's readers have no common way to write."""
    return "^(?:" + re.sub(r"\\U[0-9a-f]{8}", "", pattern) + ")$"
