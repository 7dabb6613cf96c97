"""Avro schemas as text: read strictly, written in one canonical form by which equal schemas are recognised.

The canonical form keeps everything that a schema says (documentation, defaults, aliases); only white space, the order of attributes and
`{"type": "string"}` for `"string"` make no difference.
"""

import hashlib
import json
from typing import Any

import avro.errors
import avro.schema
import fastavro
from avro.name import Names
from fastavro.schema import SchemaParseException, UnknownType

from ingestion.schema_registry.errors import RegistryError, RegistryErrorCode

PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_ORDER = (
    "type", "name", "namespace", "doc", "aliases", "fields", "symbols", "items", "values", "size", "logicalType", "default", "order",
)  # fmt: skip


def canonical_text(text: str) -> str:
    """The canonical form. Raises: RegistryError when the text is no Avro schema."""
    try:
        node = json.loads(text)
    except ValueError:
        node = text  # the bare name of a primitive type
    except RecursionError:
        raise _invalid("it nests too deep") from None
    try:
        fastavro.parse_schema(node)
        canonical = json.dumps(_canonical(node), separators=(",", ":"), ensure_ascii=False)
        parse(canonical)
    except (SchemaParseException, UnknownType, avro.errors.AvroException) as error:
        raise _invalid(str(error)[:300] or type(error).__name__) from None
    except RecursionError:
        raise _invalid("it nests too deep") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # Neither library says so where an attribute has a type that no schema has.
        raise _invalid(f"{type(error).__name__}: {error}"[:300]) from None
    return canonical


def fingerprint(canonical: str) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(canonical.encode()).hexdigest()


def parse(canonical: str) -> avro.schema.Schema:
    """The schema as the compatibility checker takes it: without logical types, which resolution does not look at."""
    return avro.schema.make_avsc_object(_bare(json.loads(canonical), ""), Names())


def _canonical(node: Any) -> Any:
    if isinstance(node, list):
        return [_canonical(branch) for branch in node]
    if not isinstance(node, dict):
        return node
    if node.keys() == {"type"} and isinstance(node["type"], str) and node["type"] in PRIMITIVES:
        return node["type"]
    ordered = sorted(node, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    return {name: _canonical_attribute(name, node[name]) for name in ordered}


def _canonical_attribute(name: str, value: Any) -> Any:
    if name in ("type", "items", "values"):
        return _canonical(value)
    if name == "fields":
        return [_canonical(field) for field in value]
    return value


def _bare(node: Any, namespace: str) -> Any:
    """The schema without logical types, and with the full names of its aliases."""
    if isinstance(node, list):
        return [_bare(branch, namespace) for branch in node]
    if not isinstance(node, dict):
        return node
    bare = {name: value for name, value in node.items() if name != "logicalType"}
    is_named = node.get("type") in ("record", "error", "enum", "fixed")
    if is_named:
        name = node.get("name", "")
        namespace = name.rpartition(".")[0] if "." in name else node.get("namespace", namespace)
        if "aliases" in node:
            bare["aliases"] = [_full_name(alias, namespace) for alias in node["aliases"]]
    for attribute in ("type", "items", "values"):
        if attribute in bare:
            bare[attribute] = _bare(bare[attribute], namespace)
    if is_named and "fields" in bare:
        bare["fields"] = [_bare(field, namespace) for field in bare["fields"]]
    return bare


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _invalid(problem: str) -> RegistryError:
    return RegistryError(RegistryErrorCode.INVALID_SCHEMA, f"Invalid Avro schema: {problem}")
