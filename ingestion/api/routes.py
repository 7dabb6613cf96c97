"""The ingest routes: which family, which shape of answer."""

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ingestion.api import answers
from ingestion.api.avro import AvroWay
from ingestion.api.batches import split_json_batch, split_lines
from ingestion.api.cloudevents import cloudevents_endpoint
from ingestion.api.direct import Endpoint, as_app
from ingestion.api.edge import Arrival, Edge, Work
from ingestion.api.errors import ErrorCode, RequestError
from ingestion.api.express import ExpressLane, Shape
from ingestion.api.intake import JudgeOf
from ingestion.api.openapi import documented
from ingestion.api.segment import CALLS, batch_endpoint, call_endpoint
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
from ingestion.contracts.validation import MAY_BE_ENGAGEMENT


class Routes:
    """All ways in: `router` documents and answers them, `direct` answers their POST requests without FastAPI, `express` without ASGI."""

    def __init__(self, edge: Edge, avro: AvroWay) -> None:
        self.router = APIRouter()
        self.direct: dict[str, ASGIApp] = {}
        self.express = ExpressLane(edge)
        self._edge = edge
        self._avro = avro
        engagement = only(Family.ENGAGEMENT)
        self._add_single("/api/v1/events", engagement, 201, _created, "engagement", "Send one engagement event")
        self._add_batch("/api/v1/events/batch", engagement, 201, "engagement_batch", "Send a batch")
        self._add_single(
            "/events",
            detect_generic_or_product,
            202,
            _accepted_or_ok,
            "generic_or_product",
            "Send one generic or product event",
        )
        for family in OWN_FAMILIES:
            path, name = f"/v1/events/{family.value}", family.value
            self._add_single(path, only(family), 202, _accepted, name, f"Send one {name} event")
            self._add_batch(f"{path}/batch", only(family), 202, f"{name}_batch", f"Send {name} events")
        lines = batch_endpoint(edge, _endpoint(edge, "/v1/batch", _lines(edge), is_batch=True))
        self._add(
            "/v1/batch", lines, 202, "lines_or_calls", "Send lines of any family, or a JSON batch of Segment calls"
        )
        for call in CALLS:
            self._add(f"/v1/{call}", call_endpoint(edge, call), 200, "call", f"Send one {call} call of Segment")
        self._add("/v1/cloudevents", cloudevents_endpoint(edge), 202, "cloudevents", "Send CloudEvents 1.0")

    def _add(self, path: str, endpoint: Endpoint, status: int, body: str, summary: str) -> None:
        self.direct[path] = as_app(endpoint)
        self.router.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            status_code=status,
            summary=summary,
            tags=["ingest"],
            name=path.strip("/").replace("/", "_"),
            response_model=None,
            **documented(body, status),
        )

    def _add_single(self, path: str, rule: FamilyRule, status: int, shape: Shape, body: str, summary: str) -> None:
        endpoint = _endpoint(self._edge, path, _single(self._edge, rule, status, shape), is_batch=False)
        if rule is only(Family.DOWNLOAD):
            endpoint = self._avro.beside(endpoint, path, _single(self._edge, rule, status, shape, self._avro.judge_of))
        self._add(path, endpoint, status, body, summary)
        if rule in MAY_BE_ENGAGEMENT:
            self.express.add(path, status, shape)

    def _add_batch(self, path: str, rule: FamilyRule, status: int, body: str, summary: str) -> None:
        work = _batch(self._edge, rule, status)
        self._add(path, _endpoint(self._edge, path, work, is_batch=True), status, body, summary)


def _endpoint(edge: Edge, route: str, work: Work, *, is_batch: bool) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await edge.respond(request, route=route, is_batch=is_batch, work=work)

    return endpoint


def _single(edge: Edge, rule: FamilyRule, status: int, shape: Shape, judge_of: JudgeOf | None = None) -> Work:
    async def work(arrival: Arrival) -> Response:
        taken = await edge.take_single(arrival, rule, judge_of)
        if taken.receipt.errors:
            return answers.rejected_answer(taken.receipt.errors[0], arrival.sender.received_at)
        is_product = taken.contract == product.CONTRACT and shape is _accepted_or_ok
        body = shape(taken.event_id, taken.contract, format_utc(arrival.sender.received_at))
        return answers.json_answer(200 if is_product else status, body)

    return work


def _created(event_id: str, _contract: str, received_at: str) -> dict[str, str]:
    return {
        "status": "success",
        "event_id": event_id,
        "message": "Event published successfully",
        "timestamp": received_at,
    }


def _accepted(event_id: str, _contract: str, received_at: str) -> dict[str, str]:
    return {
        "event_id": event_id,
        "status": "accepted",
        "message": "Event accepted for processing",
        "timestamp": received_at,
    }


def _accepted_or_ok(event_id: str, contract: str, received_at: str) -> dict[str, str]:
    if contract == product.CONTRACT:
        return {"status": "ok", "event_id": event_id}
    return _accepted(event_id, contract, received_at)


def _batch(edge: Edge, rule: FamilyRule, success_status: int) -> Work:
    async def work(arrival: Arrival) -> Response:
        now, limit = arrival.sender.received_at, edge.settings.batch_max_events
        try:
            events = split_json_batch(arrival.body, limit)
        except StrictJsonError as error:
            # Not a list of events: the body itself is what is kept, as one dead letter.
            await edge.keep_unreadable(arrival, error)
            return answers.refused_batch_answer(0, error.reason.value, error.message, now)
        if not events:
            return answers.refused_batch_answer(0, ErrorCode.BATCH_EMPTY.value, "events must hold at least one", now)
        if len(events) > limit:
            message = f"events may hold at most {limit}, found {len(events)} or more"
            return answers.refused_batch_answer(len(events), ErrorCode.BATCH_TOO_LARGE.value, message, now)
        return answers.batch_answer(await edge.intake.take(events, arrival.sender, rule), now, success_status)

    return work


def _lines(edge: Edge) -> Work:
    async def work(arrival: Arrival) -> Response:
        limit = edge.settings.ndjson_max_events
        lines, numbers = split_lines(arrival.body, limit)
        if not lines:
            raise RequestError(ErrorCode.BATCH_EMPTY, "the body has no line")
        if len(lines) > limit:
            raise RequestError(ErrorCode.BATCH_TOO_LARGE, f"at most {limit} lines, found {len(lines)} or more")
        receipt = await edge.intake.take(lines, arrival.sender, detect_family)
        return answers.lines_answer(receipt, numbers)

    return work
