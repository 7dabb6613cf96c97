"""OpenAPI of the routes that speak foreign protocols: their bodies, headers and answers, by the name that `openapi.documented` takes."""

from collections.abc import Mapping
from typing import Any

from ingestion.contracts.families import Family

Schema = dict[str, Any]

LINES_OR_CALLS, CALL, CLOUD_EVENTS = "lines_or_calls", "call", "cloudevents"
BODIES = (LINES_OR_CALLS, CALL, CLOUD_EVENTS)
_KEY: Schema = {"writeKey": {"type": "string", "description": "The write key, where no header has it; not kept."}}
_ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time", "dataschema")


def content(body: str, events: Mapping[Family, Schema], named: Mapping[str, Schema]) -> Schema:
    """The content types of a body; those of `lines_or_calls` beside the lines."""
    if body == CLOUD_EVENTS:
        event = events[Family.CLOUDEVENT]
        return {
            "application/cloudevents+json": {"schema": event},
            "application/cloudevents-batch+json": {"schema": {"type": "array", "items": event}},
            "application/json": {"schema": {"description": "Binary mode: the data; attributes are ce- headers."}},
        }
    if body == CALL:
        shape = next(schema for name, schema in named.items() if events[Family.SEGMENT]["$ref"].endswith(f"/{name}"))
        required = [name for name in shape["required"] if name != "type"]
        call = {**shape, "required": required, "properties": {**shape["properties"], **_KEY}}
        return {"application/json": {"schema": {name: value for name, value in call.items() if value != []}}}
    batch = {
        "type": "object",
        "required": ["batch"],
        "properties": {
            "batch": {"type": "array", "items": events[Family.SEGMENT]},
            "sentAt": {"description": "When it was sent, by the client's clock: RFC 3339 or an epoch number."},
            "context": {"type": "object", "description": "Of every item that has none."},
            **_KEY,
        },
    }
    return {"application/json": {"schema": batch}}


def parameters(body: str) -> list[Schema]:
    """The headers that a body asks for."""
    if body != CLOUD_EVENTS:
        return []
    return [
        {
            "name": f"ce-{name}",
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "Of an event in binary mode, percent-encoded.",
        }
        for name in _ATTRIBUTES
    ]


def answers(body: str, ref_template: str) -> dict[int, tuple[str, Schema]]:
    """Status → (description, schema) of what a route answers besides the refusals that all have."""

    def ref(name: str) -> Schema:
        return {"$ref": ref_template.format(name=name)}

    taken = "Acknowledged by all in-sync replicas"
    if body == CLOUD_EVENTS:
        return {
            202: (taken, {"anyOf": [ref("EventAccepted"), ref("LinesReceipt")]}),
            415: ("Another event format than JSON, or not UTF-8", ref("Refusal")),
        }
    calls: dict[int, tuple[str, Schema]] = {
        200: (f"{taken}; where items were rejected, a verdict for each", ref("CallsReceipt")),
        400: ("Nothing of it was accepted; what was sent is kept in the dead-letter topic", ref("CallsReceipt")),
    }
    return calls if body == CALL else {**calls, 202: (taken, ref("LinesReceipt"))}


SCHEMAS: dict[str, Schema] = {
    "CallsReceipt": {
        "type": "object",
        "required": ["success"],
        "properties": {
            "success": {"type": "boolean"},
            "accepted": {"type": "integer", "minimum": 0},
            "rejected": {"type": "integer", "minimum": 0},
            "code": {"type": "string"},
            "message": {"type": "string"},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["index", "code", "message"],
                    "properties": {
                        "index": {"type": "integer", "minimum": 0},
                        "code": {"type": "string"},
                        "message": {"type": "string"},
                    },
                },
            },
        },
    }
}
