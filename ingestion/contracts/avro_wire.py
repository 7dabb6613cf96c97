"""Avro records as they travel: a zero byte, the schema's id in a registry, the datum. And which schemas may be decoded.

Pure: no codec and no registry stand here. Whoever decodes asks `decodable` first, because a schema comes from outside as a record does:
a recursive one overruns the stack of a decoder in C, one with items of no bytes makes a short record as long as it likes.
"""

import json
from typing import Any

from ingestion.contracts import download
from ingestion.contracts.reasons import Reason

MAGIC = b"\0"
HEADER_BYTES = 5
CONTRACTS = (download.CONTRACT,)
"""The contracts whose records may be Avro."""
MEDIA_TYPES = ("application/vnd.confluent.avro", "application/avro", "avro/binary")
MAX_SCHEMA_NODES = 2000

_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_NAMED = frozenset({"record", "error", "enum", "fixed"})


class AvroError(ValueError):
    """The bytes are no Avro record that can be read as the contract."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def subject_of(topic: str) -> str:
    """The subject under which serializers look for the schema of a topic's values."""
    return f"{topic}-value"


def is_avro(contract: str, value: bytes) -> bool:
    """True for a body that is Avro by contract and first byte; no JSON text begins with that byte."""
    return contract in CONTRACTS and value[:1] == MAGIC


def schema_id_of(value: bytes) -> int:
    """The schema's id. Raises: AvroError where the record has none."""
    if len(value) <= HEADER_BYTES or value[:1] != MAGIC:
        raise AvroError(Reason.MALFORMED_AVRO, "expected a zero byte, a schema id of four bytes and an Avro datum")
    return int.from_bytes(value[1:HEADER_BYTES], "big")


def decodable(text: str) -> Any | None:
    """The schema to decode with, without logical types (stamps stay numbers); None where it may not be decoded."""
    try:
        schema = _without_logical_types(json.loads(text))
        size = _Sizes().measure(schema, "")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return schema if size[0] <= MAX_SCHEMA_NODES else None


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_logical_types(branch) for branch in node]
    if not isinstance(node, dict):
        return node
    kept = {name: value for name, value in node.items() if name != "logicalType"}
    for name in ("type", "items", "values", "fields"):
        if name in kept:
            kept[name] = _without_logical_types(kept[name])
    return kept


class _Sizes:
    """Measures a schema with its names spelt out. Raises: ValueError for what may not be decoded."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}

    def measure(self, node: Any, namespace: str) -> tuple[int, int]:
        """(types it consists of, bytes that a datum has at least)."""
        if isinstance(node, list):
            branches = [self.measure(branch, namespace) for branch in node]
            return 1 + sum(nodes for nodes, _ in branches), 1
        if isinstance(node, str):
            if node in _PRIMITIVES:
                return 1, {"null": 0, "float": 4, "double": 8}.get(node, 1)
            return self._known[_full_name(node, namespace)]  # a name within itself is not known yet
        kind = node["type"]
        if kind in ("array", "map"):
            nodes, size = self.measure(node["items" if kind == "array" else "values"], namespace)
            if size == 0 and kind == "array":
                raise ValueError("items of no bytes")
            return 1 + nodes, 1
        if kind in _NAMED:
            return self._measure_named(node, namespace)
        return self.measure(kind, namespace)

    def _measure_named(self, node: dict[str, Any], namespace: str) -> tuple[int, int]:
        name = _full_name(node["name"], node.get("namespace", namespace))
        size = (1, 1)
        if node["type"] == "fixed":
            size = (1, node["size"])
        elif node["type"] != "enum":
            inner = name.rpartition(".")[0]
            fields = [self.measure(field["type"], inner) for field in node["fields"]]
            size = 1 + sum(nodes for nodes, _ in fields), sum(least for _, least in fields)
        if size[0] > MAX_SCHEMA_NODES:
            raise ValueError("too many types")
        self._known[name] = size
        return size


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"
