"""The ingest routes: which family, which shape of answer."""

from collections.abc import Callable

from fastapi import APIRouter, Request
from starlette.responses import Response

from ingestion.api import answers
from ingestion.api.batches import split_json_batch, split_lines
from ingestion.api.cloudevents import cloudevents_endpoint
from ingestion.api.edge import Arrival, Edge, Taken
from ingestion.api.errors import ErrorCode, RequestError
from ingestion.api.openapi import documented
from ingestion.api.segment import CALLS, Endpoint, batch_endpoint, call_endpoint
from ingestion.contracts import product
from ingestion.contracts.clocks import format_utc
from ingestion.contracts.families import (
    OWN_FAMILIES,
    Family,
    FamilyRule,
    detect_family,
    detect_generic_or_product,
    only,
)
from ingestion.contracts.strict_json import StrictJsonError


def make_router(edge: Edge) -> APIRouter:
    """All ways in."""
    router = APIRouter()
    engagement = only(Family.ENGAGEMENT)
    _add(router, "/api/v1/events", _single(edge, engagement, _created), "engagement", 201, "Send one engagement event")
    _add(router, "/api/v1/events/batch", _batch(edge, engagement, 201), "engagement_batch", 201, "Send a batch")
    either = _single(edge, detect_generic_or_product, _accepted_or_ok)
    _add(router, "/events", either, "generic_or_product", 202, "Send one generic or product event")
    for family in OWN_FAMILIES:
        rule, path = only(family), f"/v1/events/{family.value}"
        _add(router, path, _single(edge, rule, _accepted), family.value, 202, f"Send one {family.value} event")
        _add(
            router,
            f"{path}/batch",
            _batch(edge, rule, 202),
            f"{family.value}_batch",
            202,
            f"Send {family.value} events",
        )
    lines = "Send newline-delimited events of any family, or a JSON batch of Segment calls"
    _add(router, "/v1/batch", batch_endpoint(edge, _lines(edge)), "lines_or_calls", 202, lines)
    for call in CALLS:
        _add(router, f"/v1/{call}", call_endpoint(edge, call), "call", 200, f"Send one {call} call of Segment")
    _add(router, "/v1/cloudevents", cloudevents_endpoint(edge), "cloudevents", 202, "Send CloudEvents 1.0")
    return router


def _add(router: APIRouter, path: str, endpoint: object, body: str, status: int, summary: str) -> None:
    router.add_api_route(
        path,
        endpoint,  # type: ignore[arg-type]  # an async endpoint; FastAPI's annotation is broader than mypy's reading
        methods=["POST"],
        status_code=status,
        summary=summary,
        tags=["ingest"],
        name=path.strip("/").replace("/", "_"),
        response_model=None,
        **documented(body, status),
    )


def _single(edge: Edge, rule: FamilyRule, shape: Callable[[Taken, Arrival], Response]) -> object:
    async def work(arrival: Arrival) -> Response:
        taken = await edge.take_single(arrival, rule)
        if taken.receipt.errors:
            return answers.rejected_answer(taken.receipt.errors[0], arrival.sender.received_at)
        return shape(taken, arrival)

    async def endpoint(request: Request) -> Response:
        return await edge.respond(request, is_batch=False, work=work)

    return endpoint


def _created(taken: Taken, arrival: Arrival) -> Response:
    body = {
        "status": "success",
        "event_id": taken.event_id,
        "message": "Event published successfully",
        "timestamp": format_utc(arrival.sender.received_at),
    }
    return answers.json_answer(201, body)


def _accepted(taken: Taken, arrival: Arrival) -> Response:
    body = {
        "event_id": taken.event_id,
        "status": "accepted",
        "message": "Event accepted for processing",
        "timestamp": format_utc(arrival.sender.received_at),
    }
    return answers.json_answer(202, body)


def _accepted_or_ok(taken: Taken, arrival: Arrival) -> Response:
    if taken.contract == product.CONTRACT:
        return answers.json_answer(200, {"status": "ok", "event_id": taken.event_id})
    return _accepted(taken, arrival)


def _batch(edge: Edge, rule: FamilyRule, success_status: int) -> object:
    async def work(arrival: Arrival) -> Response:
        now, limit = arrival.sender.received_at, edge.settings.batch_max_events
        try:
            events = split_json_batch(arrival.body)
        except StrictJsonError as error:
            # Not a list of events: the body itself is what is kept, as one dead letter.
            await edge.keep_unreadable(arrival, error)
            return answers.refused_batch_answer(0, error.reason.value, error.message, now)
        if not events:
            return answers.refused_batch_answer(0, ErrorCode.BATCH_EMPTY.value, "events must hold at least one", now)
        if len(events) > limit:
            message = f"events may hold at most {limit}, found {len(events)}"
            return answers.refused_batch_answer(len(events), ErrorCode.BATCH_TOO_LARGE.value, message, now)
        return answers.batch_answer(await edge.intake.take(events, arrival.sender, rule), now, success_status)

    async def endpoint(request: Request) -> Response:
        return await edge.respond(request, is_batch=True, work=work)

    return endpoint


def _lines(edge: Edge) -> Endpoint:
    async def work(arrival: Arrival) -> Response:
        (lines, numbers), limit = split_lines(arrival.body), edge.settings.ndjson_max_events
        if not lines:
            raise RequestError(ErrorCode.BATCH_EMPTY, "the body has no line")
        if len(lines) > limit:
            raise RequestError(ErrorCode.BATCH_TOO_LARGE, f"at most {limit} lines, found {len(lines)}")
        receipt = await edge.intake.take(lines, arrival.sender, detect_family)
        return answers.lines_answer(receipt, numbers)

    async def endpoint(request: Request) -> Response:
        return await edge.respond(request, is_batch=True, work=work)

    return endpoint
