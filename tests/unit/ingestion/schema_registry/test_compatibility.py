"""The compatibility levels, against the documented matrix: which change may be made under which level."""

import json
from typing import Any

import pytest

from ingestion.contracts.compatibility import Level
from ingestion.schema_registry.avro_schemas import canonical_text
from ingestion.schema_registry.compatibility import faults

READS_OLD, OLD_READS, BOTH, NEITHER = "new reads old", "old reads new", "both", "neither"


def record(*fields: Any, name: str = "Event", **attributes: Any) -> dict[str, Any]:
    """A record; a field is (name, type) or (name, type, default)."""
    described = [dict(zip(("name", "type", "default"), field, strict=False)) for field in fields]
    return {"type": "record", "name": name, "fields": described, **attributes}


def enum(*symbols: str, **attributes: Any) -> dict[str, Any]:
    """An enumeration."""
    return {"type": "enum", "name": "Kind", "symbols": list(symbols), **attributes}


def fixed(size: int, name: str = "Hash") -> dict[str, Any]:
    """Bytes of a fixed number."""
    return {"type": "fixed", "name": name, "size": size}


A, ID = ("a", "string"), ("id", "string")
NODE = record(("value", "long"), ("next", ["null", "Node"]), name="Node")
WIDER_NODE = record(("value", "double"), ("next", ["null", "Node"]), name="Node")

CHANGES: list[tuple[str, Any, Any, str]] = [
    # what changes, old schema, new schema, who reads whom afterwards
    ("nothing", record(ID), record(ID), BOTH),
    ("documentation", record(ID), record(ID, doc="An event."), BOTH),
    ("a field with a default is added", record(ID), record(ID, ("b", "string", "x")), BOTH),
    ("an optional field is added", record(ID), record(ID, ("b", ["null", "string"], None)), BOTH),
    ("a field without a default is added", record(ID), record(ID, A), OLD_READS),
    ("a field with a default is removed", record(ID, ("b", "int", 1)), record(ID), BOTH),
    ("a field without a default is removed", record(ID, A), record(ID), READS_OLD),
    ("one is removed, another is added, both without a default", record(A), record(ID), NEITHER),
    ("fields change places", record(ID, ("b", "int")), record(("b", "int"), ID), BOTH),
    ("a default is added to a field", record(("b", "int")), record(("b", "int", 3)), BOTH),
    ("a field is renamed", record(("b", "int")), record(("c", "int")), NEITHER),
    ("a field is renamed with an alias", record(("b", "int")),
     {"type": "record", "name": "Event", "fields": [{"name": "c", "type": "int", "aliases": ["b"]}]}, READS_OLD),
    ("int to long", record(("n", "int")), record(("n", "long")), READS_OLD),
    ("int to float", record(("n", "int")), record(("n", "float")), READS_OLD),
    ("int to double", record(("n", "int")), record(("n", "double")), READS_OLD),
    ("long to float", record(("n", "long")), record(("n", "float")), READS_OLD),
    ("long to double", record(("n", "long")), record(("n", "double")), READS_OLD),
    ("float to double", record(("n", "float")), record(("n", "double")), READS_OLD),
    ("long to int", record(("n", "long")), record(("n", "int")), OLD_READS),
    ("double to float", record(("n", "double")), record(("n", "float")), OLD_READS),
    ("string to bytes", record(("n", "string")), record(("n", "bytes")), BOTH),
    ("int to string", record(("n", "int")), record(("n", "string")), NEITHER),
    ("boolean to int", record(("n", "boolean")), record(("n", "int")), NEITHER),
    ("string to an enumeration", record(("n", "string")), record(("n", enum("A"))), NEITHER),
    ("long to a timestamp", record(("n", "long")), record(("n", {"type": "long", "logicalType": "timestamp-millis"})), BOTH),
    ("an unknown logical type", record(("n", "long")), record(("n", {"type": "long", "logicalType": "furlongs"})), BOTH),
    ("a symbol is added", enum("A"), enum("A", "B"), READS_OLD),
    ("a symbol is added where there is a default", enum("A", default="A"), enum("A", "B", default="A"), BOTH),
    ("a symbol is removed", enum("A", "B"), enum("A"), OLD_READS),
    ("a symbol is removed where there is a default", enum("A", "B", default="A"), enum("A", default="A"), BOTH),
    ("symbols change places", enum("A", "B"), enum("B", "A"), BOTH),
    ("a union is widened", ["null", "int"], ["null", "int", "string"], READS_OLD),
    ("a union is narrowed", ["null", "int", "string"], ["null", "int"], OLD_READS),
    ("a union's branches change places", ["null", "int"], ["int", "null"], BOTH),
    ("a union's branch is promoted", ["null", "int"], ["null", "long"], READS_OLD),
    ("a type becomes a union with it", record(("n", "int")), record(("n", ["null", "int"])), READS_OLD),
    ("a union becomes one of its types", record(("n", ["null", "int"])), record(("n", "int")), OLD_READS),
    ("a union of others", ["null", "int"], ["boolean", "string"], NEITHER),
    ("a record is renamed", record(ID), record(ID, name="Other"), NEITHER),
    ("a record is renamed with an alias", record(ID), record(ID, name="Other", aliases=["Event"]), READS_OLD),
    ("a record moves with a full alias", record(ID, namespace="old"), record(ID, name="Other", namespace="new", aliases=["old.Event"]),
     READS_OLD),
    ("a record with a namespace is renamed with an alias of its own", record(ID, namespace="shop"),
     record(ID, name="Other", namespace="shop", aliases=["Event"]), READS_OLD),
    ("a namespace changes", record(ID, namespace="a"), record(ID, namespace="b"), BOTH),
    ("a fixed size changes", fixed(8), fixed(16), NEITHER),
    ("a fixed type stays", fixed(8), fixed(8), BOTH),
    ("a fixed type is renamed", fixed(8), fixed(8, "Other"), NEITHER),
    ("an array's items are promoted", {"type": "array", "items": "int"}, {"type": "array", "items": "long"}, READS_OLD),
    ("an array's items change", {"type": "array", "items": "int"}, {"type": "array", "items": "string"}, NEITHER),
    ("a map's values are promoted", {"type": "map", "values": "float"}, {"type": "map", "values": "double"}, READS_OLD),
    ("an array becomes a map", {"type": "array", "items": "int"}, {"type": "map", "values": "int"}, NEITHER),
    ("a record within gets a field with a default", record(("in", record(ID, name="In"))),
     record(("in", record(ID, ("b", "int", 0), name="In"))), BOTH),
    ("a record within gets a field without one", record(("in", record(ID, name="In"))),
     record(("in", record(ID, A, name="In"))), OLD_READS),
    ("a record in an array within a union", record(("in", ["null", {"type": "array", "items": record(ID, name="In")}])),
     record(("in", ["null", {"type": "array", "items": record(ID, A, name="In")}])), OLD_READS),
    ("a recursive record stays", NODE, NODE, BOTH),
    ("a recursive record is promoted", NODE, WIDER_NODE, READS_OLD),
    ("a primitive at the top is promoted", "int", "long", READS_OLD),
    ("a primitive at the top becomes a record", "int", record(ID), NEITHER),
]  # fmt: skip

ALLOWED: dict[Level, set[str]] = {
    Level.NONE: {READS_OLD, OLD_READS, BOTH, NEITHER},
    Level.BACKWARD: {READS_OLD, BOTH},
    Level.FORWARD: {OLD_READS, BOTH},
    Level.FULL: {BOTH},
}


def canonical(schema: Any) -> str:
    """As the registry keeps it."""
    return canonical_text(json.dumps(schema))


@pytest.mark.parametrize("level", ALLOWED)
@pytest.mark.parametrize(("change", "old", "new", "who_reads"), CHANGES, ids=[case[0] for case in CHANGES])
def test_a_change_is_taken_under_the_levels_that_allow_it(
    change: str, old: Any, new: Any, who_reads: str, level: Level
) -> None:
    found = faults(level, canonical(new), [canonical(old)])
    assert (not found) == (who_reads in ALLOWED[level]), (change, found)


# `b` gets a type that the second reads and the first does not; then it gets what only the second's data has.
FIRST, SECOND = record(ID, ("b", "int", 0)), record(ID)
THIRD_OLD_TYPE, THIRD_OTHER_TYPE = record(ID, ("b", "long", 0)), record(ID, ("b", "string", ""))


@pytest.mark.parametrize(
    ("level", "third", "is_taken"),
    [
        (Level.BACKWARD, THIRD_OTHER_TYPE, True),
        (Level.BACKWARD_TRANSITIVE, THIRD_OTHER_TYPE, False),
        (Level.BACKWARD_TRANSITIVE, THIRD_OLD_TYPE, True),
        (Level.FORWARD, THIRD_OTHER_TYPE, True),
        (Level.FORWARD_TRANSITIVE, THIRD_OTHER_TYPE, False),
        (Level.FORWARD_TRANSITIVE, THIRD_OLD_TYPE, False),
        (Level.FULL, THIRD_OLD_TYPE, True),
        (Level.FULL_TRANSITIVE, THIRD_OLD_TYPE, False),
        (Level.FULL_TRANSITIVE, FIRST, True),
        (Level.NONE, "int", True),
    ],
)
def test_transitive_levels_look_at_every_version_and_the_others_at_the_newest(
    level: Level, third: Any, is_taken: bool
) -> None:
    found = faults(level, canonical(third), [canonical(FIRST), canonical(SECOND)])
    assert (not found) == is_taken, found


def test_a_fault_says_who_cannot_read_whom_and_where() -> None:
    [fault] = faults(Level.FULL, canonical(record(ID, A)), [canonical(record(ID))])
    assert fault.startswith("the new schema cannot read the old one: reader_field_missing_default_value")
    assert "fields/1" in fault
