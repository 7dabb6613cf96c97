"""OpenAPI of bodies that FastAPI never sees: schemas made from the msgspec contracts, so that they are written once."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ingestion.contracts.families import MIXED_RULE, Family
from ingestion.contracts.formats import json_schema
from ingestion.contracts.registry import NEWEST

_REF = "#/components/schemas/{name}"
_SCHEMAS, _NAMED = json_schema.components(list(NEWEST.values()), _REF)
_EVENTS: dict[Family, dict[str, Any]] = dict(zip(NEWEST, _SCHEMAS, strict=True))
_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_REFUSALS = {
    400: "Not HTTP, a broken gzip body, or a body that was cut off",
    401: "Key missing, unknown or revoked",
    403: "A read key",
    408: "Headers or body did not come in time",
    413: "Body too large",
    415: "A Content-Encoding that is not taken here",
    422: "Not accepted: the reason per event; rejected events are kept in the dead-letter topic",
    431: "Too many headers, or too long ones",
    503: "The broker is away: nothing was acknowledged, send the same again after Retry-After seconds",
}


def documented(body: str, status: int) -> dict[str, Any]:
    """Keyword arguments that document a route: its body (`engagement`, `generic_batch`, `lines` …) and its answers."""
    responses: dict[int | str, dict[str, Any]] = {
        code: {"description": text, "content": {"application/json": {"schema": _ref("Refusal")}}}
        for code, text in _REFUSALS.items()
    }
    responses[status] = {
        "description": "Acknowledged by all in-sync replicas",
        "content": {"application/json": {"schema": _answer(body, status)}},
    }
    if body == "lines" or body.endswith("_batch"):
        # Of a batch without one good event the verdicts are told; of one that cannot be taken apart, why.
        either = {"anyOf": [_answer(body, status), _ref("Refusal")]}
        responses[422]["content"] = {"application/json": {"schema": either}}
    if "_or_product" in body:
        responses[200] = {
            "description": "A product event, acknowledged by all in-sync replicas",
            "content": {"application/json": {"schema": _ref("EventOk")}},
        }
    extra: dict[str, Any] = {
        "requestBody": {"required": True, "content": _content(body)},
        "security": [{"bearer": []}, {"api_key": []}, {}],
    }
    if body != "lines" and not body.endswith("_batch"):
        responses[409] = {
            "description": "The Idempotency-Key was used with another event_id",
            "content": {"application/json": {"schema": _ref("Refusal")}},
        }
        extra["parameters"] = [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                "description": "Without event_id the id is derived from it: a retry is the same event.",
            }
        ]
    return {"openapi_extra": extra, "responses": responses}


def install(app: FastAPI) -> None:
    """Makes `app.openapi()` carry the contracts' schemas."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {}).update(_NAMED)
            components["schemas"].update(_ANSWERS)
            components["securitySchemes"] = _SECURITY_SCHEMES
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this as the way to extend its schema


def _content(body: str) -> dict[str, Any]:
    if body == "lines":
        text = f"One JSON event per line: {MIXED_RULE}. gzip is allowed."
        return {"application/x-ndjson": {"schema": {"type": "string", "description": text}}}
    family, is_batch = body.removesuffix("_batch"), body.endswith("_batch")
    event = _event(family)
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
        "required": ["status"],
        "properties": {"status": _TEXT, "code": _TEXT, "message": _TEXT, "retryable": {"type": "boolean"}},
    },
}
