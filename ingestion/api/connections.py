"""What the edge answers to connections that are refused below HTTP: the same kind of body as every other refusal."""

from starlette.responses import Response

from ingestion.api.answers import error_answer
from ingestion.api.errors import ErrorCode, RequestError
from ingestion.api.metrics import Metrics
from ingestion.settings import IngestionSettings
from runtime.connections import ConnectionGuard, ConnectionLimits, Refusal

_ERRORS = {
    Refusal.SLOW_HEAD: RequestError(ErrorCode.REQUEST_TIMEOUT, "the headers did not come in time"),
    Refusal.SLOW_BODY: RequestError(ErrorCode.REQUEST_TIMEOUT, "the body did not come in time"),
    Refusal.LARGE_HEAD: RequestError(ErrorCode.HEADERS_TOO_LARGE, "too many headers, or too long ones"),
    Refusal.TOO_MANY_CONNECTIONS: RequestError(ErrorCode.UNAVAILABLE, "too many connections at one time"),
}
_MALFORMED = RequestError(ErrorCode.MALFORMED_REQUEST, "the bytes are not an HTTP/1.1 request")


def make_guard(settings: IngestionSettings, metrics: Metrics) -> ConnectionGuard:
    """The guard of the API's connections."""

    def answer(refusal: Refusal) -> Response:
        return error_answer(_ERRORS.get(refusal, _MALFORMED), settings.retry_after_seconds)

    limits = ConnectionLimits(
        max_connections=settings.max_connections,
        head_timeout_seconds=settings.head_timeout_seconds,
        head_max_bytes=settings.head_max_bytes,
        body_timeout_seconds=settings.body_timeout_seconds,
        body_silence_seconds=settings.body_silence_seconds,
    )
    guard = ConnectionGuard(limits, answer, metrics.note_connection_refused)
    metrics.watch_connections(lambda: len(guard.connections))
    return guard
