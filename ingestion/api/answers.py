"""The bodies and statuses of the answers. Shapes are contracts of clients that already exist: more fields may come, none may go."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from starlette.responses import Response

from ingestion.api.errors import RETRYABLE, ErrorCode, RequestError
from ingestion.api.intake import EventError, Receipt
from ingestion.api.problems import PROBLEM_MEDIA_TYPE, REJECTED_STATUS, problem_type
from ingestion.contracts.clocks import format_utc

_encode = msgspec.json.Encoder().encode


def json_answer(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(_encode(body), status, headers, "application/json")


def problem_answer(
    code: str, status: int, message: str, headers: Mapping[str, str] | None = None, **members: object
) -> Response:
    """A refusal as RFC 9457 describes it. `code`, `message` and `retryable` are what clients read before there were types."""
    problem = problem_type(code)
    body = {
        "type": problem.uri,
        "title": problem.title,
        "status": status,
        "detail": message,
        "code": code,
        "message": message,
        "retryable": code in RETRYABLE,
        **members,
    }
    return Response(_encode(body), status, headers, PROBLEM_MEDIA_TYPE)


def error_answer(error: RequestError, retry_after_seconds: int) -> Response:
    """The refusal of a request as a whole."""
    headers = dict(error.headers)
    if error.code is ErrorCode.UNAVAILABLE:
        headers.setdefault("Retry-After", str(retry_after_seconds))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return problem_answer(error.code.value, error.status, error.message, headers)


def rejected_answer(error: EventError, timestamp: datetime) -> Response:
    """A single event that was rejected (and kept in the dead-letter topic): 422, or 403 or 401 when it belongs to another app."""
    status = REJECTED_STATUS.get(error.code, 422)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return problem_answer(error.code, status, error.message, headers, timestamp=format_utc(timestamp))


def batch_answer(receipt: Receipt, timestamp: datetime, success_status: int) -> Response:
    """The answer to a JSON batch: success or partial with `success_status`, 422 when no event was accepted."""
    body = {
        "status": "success" if not receipt.errors else "partial" if receipt.accepted else "error",
        "total_events": receipt.total,
        "successful": receipt.accepted,
        "failed": receipt.total - receipt.accepted,
        "errors": [
            {"index": error.index, "reason": error.code, "message": error.message, "retryable": error.retryable}
            for error in receipt.errors
        ],
        "timestamp": format_utc(timestamp),
    }
    return json_answer(success_status if receipt.accepted else 422, body)


def refused_batch_answer(total: int, reason: str, message: str, timestamp: datetime) -> Response:
    """A JSON batch that was refused as a whole: too many events, none, or a wrapping that cannot be read."""
    body = {
        "status": "error",
        "total_events": total,
        "successful": 0,
        "failed": total,
        "errors": [{"index": None, "reason": reason, "message": message, "retryable": False}],
        "timestamp": format_utc(timestamp),
    }
    return json_answer(422, body)


def lines_answer(receipt: Receipt, line_numbers: Sequence[int]) -> Response:
    """The answer to an NDJSON batch. `index` is the line's number from 0; `retryable` lines were not acknowledged."""
    errors: list[dict[str, Any]] = []
    for error in receipt.errors:
        entry: dict[str, Any] = {"index": line_numbers[error.index], "code": error.code, "message": error.message}
        if error.retryable:
            entry["retryable"] = True
        errors.append(entry)
    body = {"accepted": receipt.accepted, "rejected": receipt.total - receipt.accepted, "errors": errors}
    return json_answer(202 if receipt.accepted else 422, body)
