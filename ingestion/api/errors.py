"""Refusals of a whole request, and the one table from code to HTTP status.

RequestError(code, message) is raised anywhere on the ingest path and mapped in `answers.py`. Rejections of single events inside a
batch are no errors: they are part of the answer. What each code means and what helps: `problems.py`.
"""

from collections.abc import Mapping
from enum import StrEnum


class ErrorCode(StrEnum):
    """Why a request as a whole was refused."""

    BAD_ENCODING = "bad_encoding"
    MISSING_KEY = "missing_key"
    WRONG_KEY = "wrong_key"
    READ_KEY = "read_key"
    CREDENTIAL_EXPIRED = "credential_expired"
    WRONG_SCOPE = "wrong_scope"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    BATCH_TOO_LARGE = "batch_too_large"
    BATCH_EMPTY = "batch_empty"
    INVALID_HEADER = "invalid_header"
    UNAVAILABLE = "unavailable"
    CLIENT_GONE = "client_gone"
    MALFORMED_REQUEST = "malformed_request"
    REQUEST_TIMEOUT = "request_timeout"
    HEADERS_TOO_LARGE = "headers_too_large"
    INVALID_EXPERIMENT = "invalid_experiment"
    UNKNOWN_EXPERIMENT = "unknown_experiment"
    EXPERIMENT_CONFLICT = "experiment_conflict"


# The same bytes may be sent again: nothing was wrong with them.
RETRYABLE = frozenset(
    {ErrorCode.UNAVAILABLE, ErrorCode.REQUEST_TIMEOUT, ErrorCode.RATE_LIMITED, ErrorCode.QUOTA_EXCEEDED}
)

STATUS_OF: dict[ErrorCode, int] = {
    ErrorCode.BAD_ENCODING: 400,
    ErrorCode.CLIENT_GONE: 400,
    ErrorCode.MALFORMED_REQUEST: 400,
    ErrorCode.MISSING_KEY: 401,
    ErrorCode.WRONG_KEY: 401,
    ErrorCode.CREDENTIAL_EXPIRED: 401,
    ErrorCode.READ_KEY: 403,
    ErrorCode.WRONG_SCOPE: 403,
    ErrorCode.REQUEST_TIMEOUT: 408,
    ErrorCode.IDEMPOTENCY_CONFLICT: 409,
    ErrorCode.BODY_TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED_ENCODING: 415,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.BATCH_TOO_LARGE: 422,
    ErrorCode.BATCH_EMPTY: 422,
    ErrorCode.INVALID_HEADER: 422,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.QUOTA_EXCEEDED: 429,
    ErrorCode.HEADERS_TOO_LARGE: 431,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.INVALID_EXPERIMENT: 422,
    ErrorCode.UNKNOWN_EXPERIMENT: 404,
    ErrorCode.EXPERIMENT_CONFLICT: 409,
}


class RequestError(Exception):
    """The request is refused as a whole; nothing of it was acknowledged."""

    def __init__(self, code: ErrorCode, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.headers = headers or {}

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUS_OF[self.code]
