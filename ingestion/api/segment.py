"""The Segment HTTP API: one call per address, or a batch of calls as the libraries send it.

A library drops what is answered with 4xx, sends again what is answered with 5xx, and looks at no body of a 2xx. So a request of which
anything was not acknowledged is a 503 (its message ids make the copies harmless, and no item of it is rejected yet), and a bad item, which
is kept as a dead letter, never makes a request with a good one fail.
"""

import re
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ingestion.api import answers
from ingestion.api.batches import assure_wrapping, items_of
from ingestion.api.cloudevent_headers import media_type_of
from ingestion.api.direct import Endpoint
from ingestion.api.edge import Arrival, Edge
from ingestion.api.errors import ErrorCode, RequestError
from ingestion.api.intake import EventError, Receipt
from ingestion.contracts.clocks import TimestampError, parse_timestamp
from ingestion.contracts.families import Family, only
from ingestion.contracts.reasons import Reason
from ingestion.contracts.registry import Event
from ingestion.contracts.segment import Call, SegmentCall, corrected_time
from ingestion.contracts.strict_json import StrictJsonError, decode_syntax

CALLS: tuple[str, ...] = get_args(Call)
_rule = only(Family.SEGMENT)
# Keys are stored as hashes only: one that came in an item is not kept with it. A quote within a string has a backslash before it.
_WRITE_KEY = re.compile(rb'"writeKey"\s*:\s*"[^"\\]*"')


class _Keyed(msgspec.Struct, rename="camel"):
    write_key: str | None = None


class _BatchBody(msgspec.Struct):
    sent_at: Any = msgspec.field(name="sentAt", default=None)
    context: dict[str, Any] | None = None


_decode_key = msgspec.json.Decoder(_Keyed).decode
_decode_batch = msgspec.json.Decoder(_BatchBody).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True)
class Calls:
    """The items of a batch, and when it was sent by the client's clock."""

    items: list[bytes]
    sent_at: str | None


def call_endpoint(edge: Edge, call: str) -> Endpoint:
    """The endpoint of one kind of call."""

    async def work(arrival: Arrival) -> Response:
        try:
            item = with_type(_without_key(arrival.body), call)
        except StrictJsonError as error:
            return await _refuse(edge, arrival, error)
        return await _take(edge, arrival, Calls([item], None))

    async def endpoint(request: Request) -> Response:
        return await edge.respond(request, route=f"/v1/{call}", is_batch=True, work=work, key_of_body=key_of_body)

    return endpoint


def batch_endpoint(edge: Edge, lines: Endpoint) -> Endpoint:
    """The endpoint of JSON batches; whatever is not application/json goes to `lines`."""

    async def work(arrival: Arrival) -> Response:
        limit = edge.settings.ndjson_max_events
        try:
            calls = split_calls(arrival.body, limit)
        except StrictJsonError as error:
            return await _refuse(edge, arrival, error)
        if len(calls.items) > limit:
            raise RequestError(ErrorCode.BATCH_TOO_LARGE, f"at most {limit} items, found {len(calls.items)} or more")
        return await _take(edge, arrival, calls)

    async def endpoint(request: Request) -> Response:
        if media_type_of(request.headers.get("content-type", "")) != "application/json":
            return await lines(request)
        return await edge.respond(request, route="/v1/batch", is_batch=True, work=work, key_of_body=key_of_body)

    return endpoint


def key_of_body(body: bytes) -> str | None:
    """The write key that a library puts beside its items."""
    try:
        return _decode_key(body).write_key
    except _UNREADABLE:
        return None


def split_calls(body: bytes, max_items: int) -> Calls:
    """The items of `{"batch": [...]}` as sent; one without a context gets the batch's. Raises: StrictJsonError.

    Of more than `max_items` possibly only one more.
    """
    try:
        raws, read = items_of(body, "batch", max_items), _decode_batch(body)
    except _UNREADABLE as error:
        document = decode_syntax(body)
        if type(document) is not dict:
            raise StrictJsonError(Reason.NOT_AN_OBJECT, 'expected {"batch": [...]}') from None
        reason = Reason.INVALID_FIELD if "batch" in document else Reason.MISSING_FIELD
        raise StrictJsonError(reason, str(error)[:200]) from None
    if len(raws) > max_items:
        return Calls(raws, None)
    assure_wrapping(body, "batch", raws)
    items = [_without_key(raw) for raw in raws]
    if read.context is not None:
        context = bytes(_decode_members(body)["context"])
        items = [with_member(item, "context", context) for item in items]
    return Calls(items, _time_or_none(read.sent_at))


def with_type(item: bytes, call: str) -> bytes:
    """The item with the type that its address says. Raises: StrictJsonError when it says another one itself."""
    said = _members(item).get("type")
    if said is not None and bytes(said) not in (b'"%s"' % call.encode(), b"null"):
        raise StrictJsonError(Reason.INVALID_FIELD, f"the address takes {call} calls, the type says otherwise")
    return with_member(item, "type", b'"%s"' % call.encode())


def with_member(item: bytes, name: str, value: bytes) -> bytes:
    """The item with a member put first, every other byte as it was; unchanged where it has one of that name, or is no object."""
    members = _members(item)
    if name in members or not item.lstrip().startswith(b"{"):
        return item
    head, _, rest = item.partition(b"{")
    return b'%s{"%s":%s%s%s' % (head, name.encode(), value, b"," if members else b"", rest)


def _members(item: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _decode_members(item)
    except _UNREADABLE:
        return {}


def _without_key(body: bytes) -> bytes:
    return _WRITE_KEY.sub(b'"writeKey":null', body) if b"writeKey" in body else body


def _time_or_none(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return parse_timestamp(value)
    except TimestampError:
        return None


async def _take(edge: Edge, arrival: Arrival, calls: Calls) -> Response:
    def occurred_at_of(event: Event) -> str | None:
        return corrected_time(cast(SegmentCall, event), calls.sent_at, arrival.sender.received_at)

    receipt = await edge.intake.take(
        calls.items, arrival.sender, _rule, occurred_at_of=occurred_at_of, is_repeated_whole=True
    )
    return _answer(receipt)


async def _refuse(edge: Edge, arrival: Arrival, error: StrictJsonError) -> Response:
    """No items can be told: the body itself is what is kept, as one dead letter."""
    await edge.keep_unreadable(replace(arrival, body=_without_key(arrival.body)), error)
    return _answer(Receipt(1, 0, [EventError(0, error.reason.value, error.message)]))


def _answer(receipt: Receipt) -> Response:
    if any(error.retryable for error in receipt.errors):
        raise RequestError(ErrorCode.UNAVAILABLE, "not everything was acknowledged; send the same again")
    if not receipt.errors:
        return answers.json_answer(200, {"success": True})
    verdicts = {
        "accepted": receipt.accepted,
        "rejected": receipt.total - receipt.accepted,
        "errors": [{"index": error.index, "code": error.code, "message": error.message} for error in receipt.errors],
    }
    if receipt.accepted:
        return answers.json_answer(200, {"success": True, **verdicts})
    first = receipt.errors[0]
    return answers.json_answer(400, {"success": False, "code": first.code, "message": first.message, **verdicts})
