"""OpenAPI of bodies that FastAPI never sees: schemas made from the msgspec contracts, so that they are written once."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ingestion.api import openapi_protocols as protocols
from ingestion.api.problems import PROBLEM_MEDIA_TYPE
from ingestion.contracts.avro_wire import MEDIA_TYPES as AVRO_MEDIA_TYPES
from ingestion.contracts.families import MIXED_RULE, Family
from ingestion.contracts.formats import json_schema
from ingestion.contracts.registry import NEWEST, REGISTRY

_REF = "#/components/schemas/{name}"
_SCHEMAS, _NAMED = json_schema.components(list(NEWEST.values()), _REF)
_EVENTS: dict[Family, dict[str, Any]] = dict(zip(NEWEST, _SCHEMAS, strict=True))
_AVRO_CONTENT = {
    media_type: {
        "schema": {
            "type": "string",
            "format": "binary",
            "description": "A zero byte, the schema's id in four, the datum.",
        }
    }
    for media_type in AVRO_MEDIA_TYPES
}
_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A write key, or a JSON Web Token with scope ingest.",
    },
    "basic": {"type": "http", "scheme": "basic", "description": "The key as user name."},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"basic": []}, {"api_key": []}, {}]
_REFUSALS = {
    400: "Not HTTP, a body that was cut off, or one that cannot be unpacked",
    401: "Key missing, unknown or revoked; token expired; the event's app has a key",
    403: "A read key, a token without the scope, or another app's event",
    408: "Headers or body did not come in time",
    413: "Body too large",
    415: "A Content-Encoding that is not taken here",
    422: "Not accepted: the reason per event; rejected events are kept in the dead-letter topic",
    429: "Too many requests, or the app's day is used up: send the same again after Retry-After seconds",
    431: "Too many headers, or too long ones",
    503: "The broker is away: nothing was acknowledged, send the same again after Retry-After seconds",
}

LIMIT_HEADERS = {
    name: {"schema": {"type": kind}, "description": text}
    for name, kind, text in (
        ("Retry-After", "integer", "Seconds until a request may be sent again."),
        ("RateLimit-Policy", "string", "The limit: requests (q) per seconds (w). Absent when the day is used up."),
        ("RateLimit", "string", "Requests left (r) and the seconds until there are more (t)."),
    )
}


def documented(body: str, status: int) -> dict[str, Any]:
    """Keyword arguments that document a route: its body (`engagement`, `generic_batch`, `lines` …) and its answers."""
    responses: dict[int | str, dict[str, Any]] = {
        code: {"description": text, "content": {PROBLEM_MEDIA_TYPE: {"schema": _ref("Refusal")}}}
        for code, text in _REFUSALS.items()
    }
    answers = {status: ("Acknowledged by all in-sync replicas", _answer(body, status))}
    if body in protocols.BODIES:
        answers = protocols.answers(body, _REF)
        if body in protocols.LINE_VERDICTS:
            responses[422]["content"]["application/json"] = {"schema": _ref("LinesReceipt")}
    elif body == "lines" or body.endswith("_batch"):
        # The verdict on every event, in the shape of a success.
        responses[422]["content"]["application/json"] = {"schema": _answer(body, status)}
    else:
        responses[409] = {
            "description": "The Idempotency-Key was used with another event_id",
            "content": {PROBLEM_MEDIA_TYPE: {"schema": _ref("Refusal")}},
        }
    responses[429]["headers"] = LIMIT_HEADERS
    responses[415]["description"] = protocols.UNSUPPORTED.get(body, _REFUSALS[415])
    for code, (text, schema) in answers.items():
        responses.setdefault(code, {"content": {}})["description"] = text
        responses[code]["content"]["application/json"] = {"schema": schema}
    if "_or_product" in body:
        responses[200] = {
            "description": "A product event, acknowledged by all in-sync replicas",
            "content": {"application/json": {"schema": _ref("EventOk")}},
        }
    extra: dict[str, Any] = {
        "requestBody": {"required": True, "content": _content(body)},
        "security": SECURITY,
    }
    extra["parameters"] = [_CONTRACT_PARAMETER]
    if body in protocols.BODIES:
        extra["parameters"] = protocols.parameters(body)
    elif body != "lines" and not body.endswith("_batch"):
        extra["parameters"] += [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                "description": "Without event_id the id is derived from it: a retry is the same event.",
            }
        ]
    return {"openapi_extra": extra, "responses": responses}


def documented_registry(
    answer: dict[str, Any], *refusals: int, body: dict[str, Any] | None = None, status: int = 200
) -> dict[str, Any]:
    """Keyword arguments that document a route of the schema registry: its answer's schema, and its refusals beside those of all."""
    responses = protocols.registry_refusals({*refusals, *((413, 422) if body else ())}, _REF)
    for code in protocols.OF_THE_CONNECTION:
        content = {PROBLEM_MEDIA_TYPE: {"schema": _ref("Refusal")}}
        responses[code] = {"description": _REFUSALS[code], "content": content}
    responses[429]["headers"] = LIMIT_HEADERS
    if status == 200:
        content = {protocols.REGISTRY_MEDIA_TYPE: {"schema": answer}}
        responses[200] = {"description": "As asked for", "content": content}
    extra: dict[str, Any] = {"security": SECURITY}
    if body is not None:
        media_types = (protocols.REGISTRY_MEDIA_TYPE, "application/json")
        extra["requestBody"] = {"required": True, "content": {name: {"schema": body} for name in media_types}}
    return {"response_model": None, "status_code": status, "openapi_extra": extra, "responses": responses}


def install(app: FastAPI) -> None:
    """Makes `app.openapi()` carry the contracts' schemas."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            protocols.name_calls(schema["paths"])
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {}).update(_NAMED)
            components["schemas"].update(_ANSWERS)
            components["schemas"].update(protocols.SCHEMAS)
            components["securitySchemes"] = _SECURITY_SCHEMES
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this as the way to extend its schema


def _content(body: str) -> dict[str, Any]:
    if body in protocols.BODIES:
        lines = _content("lines") if body == protocols.LINES_OR_CALLS else {}
        return {**lines, **protocols.content(body, _EVENTS, _NAMED)}
    if body == "lines":
        text = f"One JSON event per line: {MIXED_RULE}. gzip is allowed."
        return {"application/x-ndjson": {"schema": {"type": "string", "description": text}}}
    family, is_batch = body.removesuffix("_batch"), body.endswith("_batch")
    event = _event(family)
    if not is_batch and Family.DOWNLOAD.value == family:
        return {"application/json": {"schema": event}, **_AVRO_CONTENT}
    if not is_batch:
        return {"application/json": {"schema": event}}
    events = {"type": "array", "items": event, "minItems": 1, "maxItems": 1000}
    return {
        "application/json": {
            "schema": {"type": "object", "required": ["events"], "properties": {"events": events}},
        }
    }


def _event(families: str) -> dict[str, Any]:
    """The schema of an event of a family, or of one of several: `generic_or_product`."""
    names = families.split("_or_")
    if len(names) > 1:
        return {"oneOf": [_event(name) for name in names]}
    return _EVENTS[Family(families)]


def _answer(body: str, status: int) -> dict[str, str]:
    if body == "lines":
        return _ref("LinesReceipt")
    if body.endswith("_batch"):
        return _ref("BatchReceipt")
    return _ref("EventCreated" if status == 201 else "EventAccepted")


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(name=name)}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


_CONTRACT_PARAMETER = {
    "name": "X-Tidemark-Contract",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "enum": [item.name for of in REGISTRY.accepted.values() for item in of]},
    "description": "The contract that every event keeps. Without it an event is of the newest version that it keeps.",
}
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_TIME = {"type": "string", "format": "date-time"}
_EVENT_STATUS = {"type": "string", "enum": ["success", "partial", "error"]}

HEALTH_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {"schema": _ref("Health")}}}
    for status, text in {200: "Events are taken", 503: "Events cannot be taken"}.items()
}
_CONNECTED = {"type": "string", "enum": ["connected", "disconnected"]}

_ANSWERS: dict[str, Any] = {
    "EventCreated": _object(status=_TEXT, event_id=_TEXT, message=_TEXT, timestamp=_TIME),
    "EventAccepted": _object(event_id=_TEXT, status=_TEXT, message=_TEXT, timestamp=_TIME),
    "EventOk": _object(status=_TEXT, event_id=_TEXT),
    "BatchReceipt": _object(
        status=_EVENT_STATUS,
        total_events=_COUNT,
        successful=_COUNT,
        failed=_COUNT,
        errors={
            "type": "array",
            "items": _object(
                index={"type": ["integer", "null"]}, reason=_TEXT, message=_TEXT, retryable={"type": "boolean"}
            ),
        },
        timestamp=_TIME,
    ),
    "LinesReceipt": _object(
        accepted=_COUNT,
        rejected=_COUNT,
        errors={"type": "array", "items": _object(index=_COUNT, code=_TEXT, message=_TEXT)},
    ),
    "Health": _object(
        status={"type": "string", "enum": ["healthy", "degraded", "unhealthy"]},
        service=_TEXT,
        timestamp=_TIME,
        kafka=_CONNECTED,
        database=_CONNECTED,
        detail={"type": ["string", "null"]},
    ),
    "Refusal": {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "message", "retryable"],
        "properties": {
            "type": {"type": "string", "format": "uri", "examples": ["urn:tidemark:problem:rate-limited"]},
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": _TEXT,
            "code": _TEXT,
            "message": _TEXT,
            "retryable": {"type": "boolean"},
            "timestamp": _TIME,
        },
    },
}
