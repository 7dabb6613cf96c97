"""CloudEvents 1.0 over HTTP: structured, binary and batched, told apart by the content type as the HTTP binding has it.

What is kept is the JSON form of each event: structured and batched as sent; in binary mode the attributes of the headers with the body
spliced in byte for byte as `data`, or as `data_base64` where it is not JSON. The rules of the JSON form are the contract's. Of an event
that names a contract of ours, its `data` is what is judged and kept.
"""

import base64
from dataclasses import replace

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ingestion.api import answers
from ingestion.api.batches import items_of
from ingestion.api.carried import CarriedJudge
from ingestion.api.cloudevent_headers import HeaderError, attributes_of, charset_of, is_json, media_type_of
from ingestion.api.direct import Endpoint
from ingestion.api.edge import Arrival, Edge
from ingestion.api.errors import ErrorCode, RequestError
from ingestion.api.intake import EventError, JudgeOf
from ingestion.contracts.clocks import format_utc
from ingestion.contracts.families import Family, only
from ingestion.contracts.reasons import Reason
from ingestion.contracts.strict_json import StrictJsonError, decode_syntax
from ingestion.contracts.validation import Rejection

STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"
_PREFIX = "application/cloudevents"
_rule = only(Family.CLOUDEVENT)


def cloudevents_endpoint(edge: Edge) -> Endpoint:
    """The endpoint that takes all three modes."""

    async def endpoint(request: Request) -> Response:
        content_type = request.headers.get("content-type", "")
        media_type = media_type_of(content_type)

        async def work(arrival: Arrival) -> Response:
            if media_type.startswith(_PREFIX):
                if media_type not in (STRUCTURED, BATCHED) or charset_of(content_type) not in (None, "utf-8"):
                    raise RequestError(
                        ErrorCode.UNSUPPORTED_MEDIA_TYPE,
                        f"expected {STRUCTURED} or {BATCHED}, in UTF-8, or binary mode",
                    )
                return await (_batch if media_type == BATCHED else _single)(edge, arrival)
            try:
                event = _structured(request, arrival.body)
            except (HeaderError, StrictJsonError) as error:
                return await _reject(edge, replace(arrival, body=_all_there_is(request, arrival.body)), error)
            return await _single(edge, replace(arrival, body=event))

        return await edge.respond(request, route="/v1/cloudevents", is_batch=media_type == BATCHED, work=work)

    return endpoint


async def _single(edge: Edge, arrival: Arrival) -> Response:
    taken = await edge.take_single(replace(arrival, idempotency_key=None), _rule, _judge_of(arrival))
    now = arrival.sender.received_at
    if taken.receipt.errors:
        return answers.rejected_answer(taken.receipt.errors[0], now)
    body = {
        "event_id": taken.event_id,
        "status": "accepted",
        "message": "Event accepted for processing",
        "timestamp": format_utc(now),
    }
    return answers.json_answer(202, body)


async def _batch(edge: Edge, arrival: Arrival) -> Response:
    limit = edge.settings.ndjson_max_events
    try:
        events = split_batch(arrival.body, limit)
    except StrictJsonError as error:
        return await _reject(edge, arrival, error)
    if len(events) > limit:
        raise RequestError(ErrorCode.BATCH_TOO_LARGE, f"at most {limit} events, found {len(events)} or more")
    if not events:  # "The batch MAY be empty."
        return answers.json_answer(202, {"accepted": 0, "rejected": 0, "errors": []})
    receipt = await edge.intake.take(events, arrival.sender, _rule, judge_of=_judge_of(arrival))
    return answers.lines_answer(receipt, range(len(events)))


def _judge_of(arrival: Arrival) -> JudgeOf:
    return lambda validator: CarriedJudge(validator, arrival.sender.contract)


def split_batch(body: bytes, max_events: int) -> list[bytes]:
    """The events of a JSON array, as sent; of more than `max_events` possibly only one more. Raises: StrictJsonError."""
    try:
        return items_of(body, None, max_events)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decode_syntax(body)
    raise StrictJsonError(Reason.INVALID_FIELD, "a batch is a JSON array of events")


def _structured(request: Request, body: bytes) -> bytes:
    """The JSON form of an event in binary mode. Raises: HeaderError, StrictJsonError when the body is not the JSON that it says it is."""
    attributes = attributes_of(request.headers.raw)
    content_type = attributes.get("datacontenttype")
    if not body:
        return msgspec.json.encode(attributes)
    says_json = content_type is None or is_json(content_type)
    if says_json and charset_of(content_type or "") in (None, "utf-8", "us-ascii"):
        try:
            decode_syntax(body)
            return _spliced(attributes, body)
        except StrictJsonError:
            if content_type is not None:
                raise
    return msgspec.json.encode({**attributes, "data_base64": base64.b64encode(body).decode()})


def _spliced(attributes: dict[str, str], data: bytes) -> bytes:
    head = msgspec.json.encode(attributes)[:-1]
    return b"".join((head, b"," if attributes else b"", b'"data":', data, b"}"))


def _all_there_is(request: Request, body: bytes) -> bytes:
    """What a dead letter keeps of an event that has no JSON form: its headers as they came, and the body."""
    headers = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in request.headers.raw
        if name.lower().startswith(b"ce-") or name.lower() == b"content-type"
    }
    return msgspec.json.encode({"headers": headers, "body_base64": base64.b64encode(body).decode()})


async def _reject(edge: Edge, arrival: Arrival, error: HeaderError | StrictJsonError) -> Response:
    await edge.intake.keep(arrival.body, Rejection(error.reason, error.message), arrival.sender)
    return answers.rejected_answer(EventError(0, error.reason.value, error.message), arrival.sender.received_at)
