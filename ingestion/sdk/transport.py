"""One request to the edge and what its answer means for each event. Retries nothing; knows no queue.

`POST /v1/batch` takes every family in one request and answers per line: `errors` names the lines that were not accepted, with
`retryable` where the broker did not acknowledge. Only an answer whose numbers add up is believed.
"""

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import Enum

import httpx
import msgspec

_PATH = "/v1/batch"
_PACKING_LEVEL = 1
_LONGEST_RETRY_AFTER_SECONDS = 3600.0
_RETRYABLE_STATUSES = frozenset({408, 425, 429, *range(500, 600)})


class Trouble(Enum):
    """Why no event of a request has a verdict."""

    UNAVAILABLE = "unavailable"
    """Nothing is wrong with the request: the same again, later."""
    REFUSED = "refused"
    """Whatever this client sends is refused: key, address or protocol."""
    BODY = "body"
    """This body is refused, by the edge itself or for its size: fewer events in one may pass."""


@dataclass(frozen=True)
class Verdicts:
    """What became of a request's events by position: those neither `rejected` (code, message) nor `again` were accepted."""

    rejected: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    again: frozenset[int] = frozenset()


@dataclass(frozen=True)
class NoVerdict:
    """The request failed as a whole; nothing of it is known to be accepted."""

    trouble: Trouble
    code: str
    message: str
    retry_after_seconds: float = 0.0


class _LineError(msgspec.Struct):
    index: int
    code: str = "rejected"
    message: str = ""
    retryable: bool = False


class _Receipt(msgspec.Struct):
    accepted: int
    rejected: int
    errors: list[_LineError]


class _Refusal(msgspec.Struct):
    code: str = ""
    message: str = ""
    detail: str = ""
    retryable: bool = False


_read_receipt = msgspec.json.Decoder(_Receipt).decode
_read_refusal = msgspec.json.Decoder(_Refusal).decode


class EdgeTransport:
    """Sends batches over one HTTP client."""

    def __init__(self, http: httpx.Client, gzip_above_bytes: int, clock: Callable[[], datetime]) -> None:
        self._http = http
        self._gzip_above_bytes = gzip_above_bytes
        self._clock = clock
        self.sent_bytes = 0

    def post(self, raws: Sequence[bytes]) -> Verdicts | NoVerdict:
        """What the edge says about the events, in their order."""
        body = b"\n".join(raws) + b"\n"
        headers = {"Content-Type": "application/x-ndjson"}
        if len(body) > self._gzip_above_bytes:
            body = gzip.compress(body, _PACKING_LEVEL, mtime=0)
            headers["Content-Encoding"] = "gzip"
        self.sent_bytes += len(body)
        try:
            answer = self._http.post(_PATH, content=body, headers=headers)
        except httpx.HTTPError as error:
            return NoVerdict(Trouble.UNAVAILABLE, "no_answer", f"{type(error).__name__}: {error}")
        return self._read(answer, len(raws))

    def _read(self, answer: httpx.Response, count: int) -> Verdicts | NoVerdict:
        status = answer.status_code
        if status in (200, 202, 422) and (verdicts := _verdicts(answer.content, count)) is not None:
            return verdicts
        refusal = _refusal(answer)
        is_about_body = status == 413 or (status == 422 and bool(refusal.code))
        code = refusal.code or f"http_{status}"
        message = f"{status} {refusal.message or refusal.detail or answer.reason_phrase}"[:300]
        if status in _RETRYABLE_STATUSES or refusal.retryable or answer.is_success:
            # A success that cannot be read was not said by an edge: nothing is known to be accepted.
            return NoVerdict(Trouble.UNAVAILABLE, code, message, self._retry_after_seconds(answer))
        return NoVerdict(Trouble.BODY if is_about_body else Trouble.REFUSED, code, message)

    def _retry_after_seconds(self, answer: httpx.Response) -> float:
        """Seconds or a date; 0 when absent or neither."""
        text: str = answer.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return min(float(text), _LONGEST_RETRY_AFTER_SECONDS)
        try:
            seconds: float = (parsedate_to_datetime(text) - self._clock()).total_seconds()
        except (ValueError, TypeError):
            return 0.0
        return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_SECONDS)


def _verdicts(content: bytes, count: int) -> Verdicts | None:
    """None when this is no receipt for `count` events."""
    try:
        receipt = _read_receipt(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    named = {error.index for error in receipt.errors}
    is_sound = (
        receipt.accepted + receipt.rejected == count
        and len(named) == len(receipt.errors) == receipt.rejected
        and named <= set(range(count))
    )
    if not is_sound:
        return None
    return Verdicts(
        {error.index: (error.code, error.message) for error in receipt.errors if not error.retryable},
        frozenset(error.index for error in receipt.errors if error.retryable),
    )


def _refusal(answer: httpx.Response) -> _Refusal:
    """The edge's own words; nothing when somebody else answered, such as a proxy."""
    try:
        return _read_refusal(answer.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Refusal()
