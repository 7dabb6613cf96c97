"""The matrix of a schema registry: every kind of change against every level, and the verdict held against a validator."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ingestion.contracts.compatibility import Direction, Level, broken_by, differences, is_compatible
from ingestion.contracts.formats import json_schema
from ingestion.contracts.json_shapes import UnsupportedSchemaError
from ingestion.contracts.registry import CONTRACTS

Change = Callable[[dict[str, Any]], None]
BACKWARD, FORWARD = Direction.BACKWARD, Direction.FORWARD
NEITHER: frozenset[Direction] = frozenset()
BOTH = frozenset(Direction)


def base() -> dict[str, Any]:
    """A version with one field of every kind."""
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string", "minLength": 1, "maxLength": 100},
            "kind": {"enum": ["like", "view"]},
            "note": {"anyOf": [{"type": "string", "maxLength": 50}, {"type": "null"}], "default": None},
            "upvotes": {"type": "integer", "minimum": 0, "default": 0},
            "size": {"type": "number", "minimum": 0, "x-unit": "MiB"},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 20}, "minItems": 1, "maxItems": 4},
            "labels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 9}},
            "place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
            "one": {"type": "integer"},
            "other": {"type": "integer"},
        },
        "required": ["id", "kind"],
    }


def field(name: str, **changes: Any) -> Change:
    """Keywords of a field set; `...` removes one."""

    def change(schema: dict[str, Any]) -> None:
        found = schema["properties"][name]
        for word, value in changes.items():
            if value is ...:
                del found[word.replace("__", "-")]
            else:
                found[word.replace("__", "-")] = value

    return change


def put(name: str, schema: dict[str, Any]) -> Change:
    return lambda whole: whole["properties"].update({name: schema})


def both(*changes: Change) -> Change:
    def change(schema: dict[str, Any]) -> None:
        for one in changes:
            one(schema)

    return change


def of_schema(**changes: Any) -> Change:
    """Keywords of the whole set."""
    return lambda schema: schema.update({word.replace("__", "-"): value for word, value in changes.items()})


def add(name: str, *, required: bool = False, **of: Any) -> Change:
    def change(schema: dict[str, Any]) -> None:
        schema["properties"][name] = of or {"type": "string"}
        schema["required"] = schema["required"] + [name] * required

    return change


def remove(name: str) -> Change:
    def change(schema: dict[str, Any]) -> None:
        del schema["properties"][name]
        schema["required"] = [item for item in schema["required"] if item != name]

    return change


def rename(name: str, to: str) -> Change:
    def change(schema: dict[str, Any]) -> None:
        schema["properties"][to] = schema["properties"].pop(name)
        schema["required"] = [to if item == name else item for item in schema["required"]]

    return change


def require(*names: str) -> Change:
    return of_schema(required=["id", "kind", *names])


def inside(part: str, change: Change) -> Change:
    return lambda schema: change(schema["properties"][part])


ONE_OR_OTHER = [{"required": ["one"]}, {"required": ["other"]}]
TWO_PLACES = {"city": {"type": "string"}, "zip": {"type": "string"}}
NOTE_OPTIONS = [{"type": "string", "maxLength": 50}, {"type": "null"}, {"type": "boolean"}]
MATRIX: list[tuple[str, Change, frozenset[Direction]]] = [
    ("nothing", lambda schema: None, NEITHER),
    ("other words", of_schema(title="T", description="better said"), NEITHER),
    # fields: the registry's documented table
    ("add optional", add("new"), NEITHER),
    ("add defaulted", add("new", type="string", default="x"), NEITHER),
    ("add required", add("new", required=True), frozenset({BACKWARD})),
    ("remove optional", remove("note"), NEITHER),
    ("remove defaulted", remove("upvotes"), NEITHER),
    ("remove required", remove("id"), frozenset({FORWARD})),
    ("rename optional", rename("note", "remark"), NEITHER),
    ("rename required", rename("id", "key"), BOTH),
    ("optional becomes required", require("note"), frozenset({BACKWARD})),
    ("required becomes optional", of_schema(required=["id"]), frozenset({FORWARD})),
    ("default changed", field("upvotes", default=1), NEITHER),
    ("default dropped", field("upvotes", default=...), NEITHER),
    # types
    ("integer becomes number", field("upvotes", type="number"), frozenset({FORWARD})),
    ("number becomes integer", field("size", type="integer"), frozenset({BACKWARD})),
    ("string becomes integer", put("id", {"type": "integer"}), BOTH),
    ("null allowed", put("id", {"type": ["string", "null"], "minLength": 1, "maxLength": 100}), frozenset({FORWARD})),
    ("null refused", put("note", {"type": "string", "maxLength": 50, "default": None}), frozenset({BACKWARD})),
    ("a type besides", field("note", anyOf=NOTE_OPTIONS), frozenset({FORWARD})),
    ("any value", put("id", {}), frozenset({FORWARD})),
    ("another unit", field("size", x__unit="MB"), BOTH),
    # bounds
    ("longer text", field("id", maxLength=200), frozenset({FORWARD})),
    ("shorter text", field("id", maxLength=50), frozenset({BACKWARD})),
    ("no bound any more", field("id", maxLength=...), frozenset({FORWARD})),
    ("a pattern", field("id", pattern="^a"), frozenset({BACKWARD})),
    ("a higher minimum", field("upvotes", minimum=1), frozenset({BACKWARD})),
    ("a lower minimum", field("upvotes", minimum=-1), frozenset({FORWARD})),
    ("an open minimum", put("upvotes", {"type": "integer", "exclusiveMinimum": 0}), frozenset({BACKWARD})),
    ("a maximum", field("upvotes", maximum=10), frozenset({BACKWARD})),
    ("more items", field("tags", maxItems=9), frozenset({FORWARD})),
    ("fewer items", field("tags", maxItems=2), frozenset({BACKWARD})),
    ("items once only", field("tags", uniqueItems=True), frozenset({BACKWARD})),
    ("longer items", inside("tags", of_schema(items={"type": "string", "maxLength": 30})), frozenset({FORWARD})),
    ("longer map values", inside("labels", of_schema(additionalProperties={"type": "string", "maxLength": 10})), frozenset({FORWARD})),
    ("map of anything", inside("labels", of_schema(additionalProperties=True)), frozenset({FORWARD})),
    # words
    ("a word more", field("kind", enum=["like", "view", "share"]), frozenset({FORWARD})),
    ("a word less", field("kind", enum=["like"]), frozenset({BACKWARD})),
    ("another word", field("kind", enum=["like", "share"]), BOTH),
    ("any text for words", put("kind", {"type": "string"}), frozenset({FORWARD})),
    ("words for any text", put("id", {"enum": ["a", "b"]}), frozenset({BACKWARD})),
    ("text too short for the words", put("kind", {"type": "string", "maxLength": 3}), BOTH),
    # nested
    ("nested: add optional", inside("place", lambda part: part["properties"].update(zip={"type": "string"})), NEITHER),
    ("nested: remove required", inside("place", lambda part: part.update(properties={}, required=[])), frozenset({FORWARD})),
    ("nested: required", inside("place", of_schema(properties=TWO_PLACES, required=["city", "zip"])), frozenset({BACKWARD})),
    ("closed", of_schema(additionalProperties=False), frozenset({BACKWARD})),
    # rules over several fields
    ("one of two required", of_schema(anyOf=ONE_OR_OTHER), frozenset({BACKWARD})),
    ("one of two, one being required", both(require("one"), of_schema(anyOf=ONE_OR_OTHER)), frozenset({BACKWARD})),
    ("one needs the other", of_schema(dependentRequired={"one": ["other"]}), frozenset({BACKWARD})),
    ("one needs a required one", of_schema(dependentRequired={"one": ["id"]}), NEITHER),
    ("two must be the same", of_schema(x__same=[["one", "other"]]), frozenset({BACKWARD})),
]  # fmt: skip
NAMES = [name for name, *_ in MATRIX]


def changed(change: Change) -> dict[str, Any]:
    schema = copy.deepcopy(base())
    change(schema)
    return schema


@pytest.mark.parametrize(("change", "broken"), [row[1:] for row in MATRIX], ids=NAMES)
def test_each_change_breaks_the_directions_of_the_table_and_the_way_back_the_others(
    change: Change, broken: frozenset[Direction]
) -> None:
    old, new = base(), changed(change)
    assert {item.breaks for item in differences(old, new)} - {None} == broken
    mirrored = {FORWARD if way is BACKWARD else BACKWARD for way in broken}
    assert {item.breaks for item in differences(new, old)} - {None} == mirrored


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize(("change", "broken"), [row[1:] for row in MATRIX], ids=NAMES)
def test_a_level_allows_what_breaks_none_of_its_directions(
    level: Level, change: Change, broken: frozenset[Direction]
) -> None:
    wanted = {"NONE": NEITHER, "BACKWARD": {BACKWARD}, "FORWARD": {FORWARD}, "FULL": BOTH}[level.value.split("_")[0]]
    assert is_compatible(level, changed(change), [base()]) == (not wanted & broken)


@pytest.mark.parametrize(
    ("level", "allowed"),
    [
        ("NONE", True), ("BACKWARD", True), ("BACKWARD_TRANSITIVE", False),
        ("FORWARD", True), ("FORWARD_TRANSITIVE", False), ("FULL", True), ("FULL_TRANSITIVE", False),
    ],
)  # fmt: skip
def test_only_transitive_levels_look_behind_the_last_version(level: str, allowed: bool) -> None:
    # Dropped and come back as another type: the last version knows nothing of it, the one before does.
    first = changed(add("extra", type="integer"))
    second, third = base(), changed(add("extra", anyOf=[{"type": "string"}]))
    assert is_compatible(Level.FULL, second, [first])
    assert is_compatible(Level.FULL, third, [second])
    broken = broken_by(Level(level), third, [first, second])
    assert (broken == [[], []]) == allowed
    assert broken[1] == []


def test_a_difference_says_where_what_and_which_way() -> None:
    new = changed(inside("place", of_schema(properties={"city": {"type": "string", "maxLength": 9}})))
    [found] = differences(base(), new)
    assert (found.path, found.rule, found.breaks) == ("place.city", "maxLength", BACKWARD)
    assert found.message == "no bound is more than 9"


def test_shapes_told_apart_by_a_word_are_compared_one_by_one() -> None:
    old = json_schema.document(CONTRACTS["social/1"])
    new = copy.deepcopy(old)
    new["$defs"]["PostCreated"]["properties"]["text"]["maxLength"] = 500
    new["anyOf"] = [item for item in new["anyOf"] if not item["$ref"].endswith("UserCreated")]
    assert [(item.path, item.rule, item.message, item.breaks) for item in differences(old, new)] == [
        ("", "type", "object user_created is refused", BACKWARD),
        ("post_created/text", "maxLength", "10000 is more than 500", BACKWARD),
    ]


def test_rules_over_several_fields_of_a_real_contract_count() -> None:
    old = json_schema.document(CONTRACTS["product/1"])
    new = copy.deepcopy(old)
    for word in ("anyOf", "dependentRequired", "x-same"):
        del new["$defs"]["ProductEvent"][word]
    found = {(item.path, item.rule, item.breaks) for item in differences(old, new)}
    assert found == {
        ("event_time|event_ts", "one_of", FORWARD),
        ("event_ts", "same", FORWARD),
        ("experiment_id", "needs", FORWARD),
    }


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"type": "object", "if": {}}, "cannot compare if"),
        ({"oneOf": [{"type": "string"}]}, "cannot compare oneOf"),
        ({"type": "text"}, "no such type: 'text'"),
        ({"properties": {}}, "say the type"),
        ({"$ref": "#/$defs/nowhere"}, "nothing is at"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}}, "refers to itself"),
        ({"type": "object", "properties": {"a": 3}}, "a: expected a schema"),
        ({"type": ["object", "null"], "not": {"required": ["a"]}}, "cannot compare not"),
        ({"type": "object", "allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {}}}, "cannot compare $ref within allOf"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_and_not_passed_by(schema: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UnsupportedSchemaError, match=complaint.replace("$", r"\$")):
        differences(schema, base())


def breaks_of(name: str, change: Change) -> list[tuple[str, str, Direction | None]]:
    """What breaks between a contract of today and the changed one."""
    old = json_schema.document(CONTRACTS[name])
    new = copy.deepcopy(old)
    change(next(iter(new["$defs"].values())))
    return [(item.path, item.rule, item.breaks) for item in differences(old, new) if item.breaks]


def drop(word: str, place: int | None = None) -> Change:
    def change(shape: dict[str, Any]) -> None:
        if place is None:
            del shape[word]
        else:
            del shape[word][place]

    return change


def add_call(shape: dict[str, Any]) -> None:
    shape["properties"]["type"]["enum"].append("bye")
    shape["allOf"].append({"if": {"properties": {"type": {"const": "bye"}}}, "then": {"required": ["traits"]}})


def add_name(shape: dict[str, Any]) -> None:
    shape["properties"]["sampledrate"] = {"type": ["string", "boolean", "integer", "null"]} | dict(
        list(shape["additionalProperties"].items())[1:]
    )
    shape["propertyNames"]["anyOf"][0]["enum"].append("sampledrate")


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("segment/1", lambda _: None, []),
        ("cloudevent/1", lambda _: None, []),
        ("segment/1", drop("allOf", 1), [("groupId", "allOf", FORWARD)]),
        ("segment/1", lambda shape: shape["required"].append("event"), [("event", "required", BACKWARD)]),
        ("segment/1", add_call, [("type", "values", FORWARD)]),
        (
            "segment/1",
            lambda shape: shape["allOf"].append({"if": {"properties": {"type": {"const": "page"}}}, "then": {"required": ["context"]}}),
            [("context", "allOf", BACKWARD)],
        ),
        ("segment/1", lambda shape: shape["allOf"].append({"minProperties": 3}), [("*", "allOf", BACKWARD)]),
        ("cloudevent/1", drop("not"), [("data|data_base64", "not", FORWARD)]),
        ("cloudevent/1", drop("propertyNames"), [("*", "propertyNames", FORWARD)]),
        ("cloudevent/1", add_name, []),
        (
            "cloudevent/1",
            lambda shape: shape["propertyNames"]["anyOf"].append({"pattern": "^x-"}),
            [("*", "propertyNames", FORWARD)],
        ),
        ("cloudevent/1", lambda shape: shape.update({"not": {"maxProperties": 4}}), [
            ("*", "not", BACKWARD), ("data|data_base64", "not", FORWARD),
        ]),
    ],
)  # fmt: skip
def test_rules_of_protocols_are_compared_and_what_cannot_be_proven_breaks(
    name: str, change: Change, expected: list[tuple[str, str, Direction]]
) -> None:
    assert breaks_of(name, change) == expected


SCALARS = st.one_of(
    st.builds(lambda low, high: {"type": "string", "minLength": low, "maxLength": high}, st.integers(0, 1), st.integers(1, 2)),
    st.builds(lambda kind, low: {"type": kind, "minimum": low}, st.sampled_from(["integer", "number"]), st.integers(-1, 1)),
    st.builds(lambda low: {"type": "integer", "exclusiveMaximum": low}, st.integers(0, 1)),
    st.builds(lambda words: {"enum": words}, st.lists(st.sampled_from(["", "x", "xy", 0, 1]), min_size=1, unique=True)),
    st.just({"type": "null"}),
    st.just({}),
)  # fmt: skip
VALUES = st.one_of(
    SCALARS,
    st.builds(lambda options: {"anyOf": options}, st.lists(SCALARS.filter(bool), min_size=1, max_size=3)),
    st.builds(lambda of, most: {"type": "array", "items": of, "maxItems": most}, SCALARS, st.integers(0, 2)),
)
SCHEMAS = st.builds(
    lambda a, b, required, more: {
        "type": "object", "properties": {"a": a, "b": b}, "required": sorted(required), "additionalProperties": False, **more,
    },
    VALUES, VALUES, st.sets(st.sampled_from("ab")),
    st.sampled_from([
        {},
        {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"dependentRequired": {"a": ["b"]}},
        *({"allOf": [{"if": {"properties": {"a": {"const": word}}}, "then": {"required": ["b"]}}]} for word in ("xy", 0)),
        {"allOf": [{"minProperties": 1}, {"if": {"required": ["a"]}, "else": {"required": ["b"]}}]},
        {"not": {"required": ["a", "b"]}},
        {"not": {"required": ["a"]}},
        {"propertyNames": {"enum": ["a"]}},
        {"propertyNames": {"pattern": "^[bc]$"}},
        {"propertyNames": {"anyOf": [{"enum": ["b"]}, {"pattern": "^a"}]}, "additionalProperties": True},
        {"additionalProperties": {"type": "integer"}},
    ]),
)  # fmt: skip
SAMPLES = ["", "xy", -2, -1, 0, 1, 0.5, None, [], ["x"], [0, 1]]


@given(SCHEMAS, SCHEMAS)
@settings(max_examples=300, deadline=None)
def test_where_nothing_breaks_a_validator_refuses_nothing(old: dict[str, Any], new: dict[str, Any]) -> None:
    found = {item.breaks for item in differences(old, new)}
    was, will_be = Draft202012Validator(old), Draft202012Validator(new)
    documents = [
        {name: value for name, value in (("a", a), ("b", b), ("ac", c)) if value is not ...}
        for a in (*SAMPLES, ...)
        for b in (*SAMPLES, ...)
        for c in (0, ...)
    ]
    for writer, reader, way in ((was, will_be, BACKWARD), (will_be, was, FORWARD)):
        if way not in found:
            assert all(reader.is_valid(document) for document in documents if writer.is_valid(document))
