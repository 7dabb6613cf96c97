"""The OpenAPI document of Segment's calls says what the routes take: one verdict on the same bodies, from the schema and from the route."""

import itertools
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from ingestion.contracts.segment import Call
from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import EdgeClient, encode

Edge = tuple[EdgeClient, InMemorySink]
CALLS: tuple[str, ...] = get_args(Call)
IDS = (..., None, "u1", 7)
NAMES = (..., None)


def bodies(call: str) -> Iterator[dict[str, Any]]:
    """Ways to give or leave out what some call asks for; then one other field at a time, in all that it may and may not be."""
    good = {"userId": "u1", "event": "name", "groupId": "g", "previousId": "p"}
    for user, anonymous, name, value in itertools.product(IDS, IDS[:3], ("event", "groupId", "previousId"), NAMES):
        yield {**good, "userId": user, "anonymousId": anonymous, name: value}
    others = {
        "type": (call, None, next(other for other in CALLS if other != call), 7, "no call"),
        "messageId": (None, "m", "", "m" * 200, "m" * 201, 7),
        "event": ("", "e" * 200, "e" * 201, {}),
        "userId": ("u" * 1000, "u" * 1001, []),
        "groupId": ("", "g" * 1000, "g" * 1001),
        "properties": (None, {}, {"a": [1]}, [], "text"),
        "traits": (None, {"email": "a@b"}, 7),
        "context": (None, {"ip": "1"}, []),
        "timestamp": (None, "2026-01-05T12:00:00Z", 1767614400, 1767614400.5, {}, True),
        "originalTimestamp": (None, "2026-01-05T12:00:00+01:00", []),
        "sentAt": (None, "2026-01-05T12:00:00Z", False),
        "integrations": (None, {"All": True}, "whatever has no name"),
    }
    for name, values in others.items():
        yield from ({**good, name: value} for value in values)


def validator_of(document: dict[str, Any], path: str) -> Draft202012Validator:
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    whole = Resource.from_contents({"$schema": Draft202012Validator.META_SCHEMA["$id"], **document})
    return Draft202012Validator({"$id": "urn:call", **schema}, registry=Registry().with_resource("", whole))


@pytest.mark.parametrize("call", CALLS)
def test_the_document_takes_what_the_route_takes(edge: Edge, call: str) -> None:
    client, _ = edge
    schema = validator_of(client.app.openapi(), f"/v1/{call}")
    verdicts: dict[bool, int] = {True: 0, False: 0}
    for body in bodies(call):
        sent = {name: value for name, value in body.items() if value is not ...}
        status = client.post(f"/v1/{call}", content=encode(sent)).status_code
        assert (status == 200) is schema.is_valid(sent), (status, sent)
        verdicts[status == 200] += 1
    assert min(verdicts.values()) > 20, "both kinds are among them"


def test_operation_ids_stay() -> None:
    paths = EdgeClient(InMemorySink()).app.openapi()["paths"]
    found = {paths[f"/v1/{call}"]["post"]["operationId"] for call in CALLS}
    assert found == {f"v1_{call}_v1_{call}_post" for call in CALLS}
    every = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(set(every)) == len(every)
