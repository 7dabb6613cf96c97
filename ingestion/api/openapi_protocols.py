"""OpenAPI of the routes that speak foreign protocols: their bodies, headers and answers, by the name that `openapi.documented` takes."""

from collections.abc import Mapping
from typing import Any, get_args

from ingestion.contracts.families import Family
from ingestion.contracts.segment import Call

Schema = dict[str, Any]

LINES_OR_CALLS, CALL, CLOUD_EVENTS = "lines_or_calls", "call", "cloudevents"
BODIES = (LINES_OR_CALLS, CALL, CLOUD_EVENTS)
LINE_VERDICTS = (LINES_OR_CALLS, CLOUD_EVENTS)
"""Bodies that may be refused with a verdict on each line or event."""
UNSUPPORTED = {CLOUD_EVENTS: "Another event format than JSON, not UTF-8, or a Content-Encoding that is not taken here"}
REGISTRY_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
OF_THE_CONNECTION = (400, 408, 431)
"""Statuses that are answered before a route is found, as problems whatever the path."""
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


def name_calls(paths: Mapping[str, Schema]) -> None:
    """Makes each call's address ask for what the contract asks where the type is that call: the address says the type.

    What is asked for must be there, and null is not.
    """
    for call in get_args(Call):
        body = paths[f"/v1/{call}"]["post"]["requestBody"]["content"]["application/json"]
        schema = body["schema"]
        rules = [rule["then"]["required"] for rule in schema["allOf"] if rule["if"] == _where_type_is(call)]
        names = sorted(name for names in rules for name in names)
        properties = schema["properties"]
        asked = {name: _without_null(properties[name]) for name in names}
        types = {"type": {**properties["type"], "enum": [call]}}
        either = [
            {**option, "properties": {name: {"not": {"type": "null"}} for name in option["required"]}}
            for option in schema["anyOf"]
        ]
        kept = {name: value for name, value in schema.items() if name != "allOf"}
        required = {"required": names} if names else {}
        body["schema"] = {**kept, **required, "anyOf": either, "properties": {**properties, **asked, **types}}


def _without_null(schema: Schema) -> Schema:
    """What is left of a nullable field."""
    (left,) = (option for option in schema["anyOf"] if option != {"type": "null"})
    return {**left, **{name: value for name, value in schema.items() if name != "anyOf"}}


def _where_type_is(call: str) -> Schema:
    return {"properties": {"type": {"const": call}}}


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
        return {202: (taken, {"anyOf": [ref("EventAccepted"), ref("LinesReceipt")]})}
    calls: dict[int, tuple[str, Schema]] = {
        200: (f"{taken}; where items were rejected, a verdict for each", ref("CallsReceipt")),
        400: ("Nothing of it was accepted; what was sent is kept in the dead-letter topic", ref("CallsReceipt")),
    }
    return calls if body == CALL else {**calls, 202: (taken, ref("LinesReceipt"))}


_REGISTRY_REFUSALS = {
    401: "Key missing, unknown or revoked",
    403: "A read key where something would change, or a token without the scope",
    404: "No such subject, version, schema or level; or a deletion that is not the next step",
    409: "The schema does not fit the subject's versions",
    413: "Body too large",
    422: "A body, schema, version, level or parameter that is not valid, or a mode that is not offered",
    429: "Too many requests: ask again after Retry-After seconds",
    503: "The store is away: ask again after Retry-After seconds",
}
_OF_EVERY_REGISTRY_ROUTE = {401, 403, 429, 503}


def registry_refusals(statuses: set[int], ref_template: str) -> dict[int | str, Schema]:
    """Status → answer of the registry's own refusals: these, and those that every route has."""
    schema = {"$ref": ref_template.format(name="RegistryRefusal")}
    return {
        status: {"description": _REGISTRY_REFUSALS[status], "content": {REGISTRY_MEDIA_TYPE: {"schema": schema}}}
        for status in sorted(statuses | _OF_EVERY_REGISTRY_ROUTE)
    }


SCHEMAS: dict[str, Schema] = {
    "RegistryRefusal": {
        "type": "object",
        "required": ["error_code", "message"],
        "properties": {
            "error_code": {"type": "integer", "description": "Its first three digits are the status."},
            "message": {"type": "string"},
        },
    },
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
    },
}
