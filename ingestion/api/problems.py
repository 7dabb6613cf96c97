"""What every refusal of the ingestion API means and what helps: the one table behind `type`, `title` and `docs/errors.md`.

Codes are `ErrorCode` (a request as a whole), the edge's `Reason`s (one event) and the few of the web framework. Their statuses are in
`errors.py` and in REJECTED_STATUS. No request is answered here.
"""

from dataclasses import dataclass

from ingestion.api.errors import STATUS_OF, ErrorCode
from ingestion.contracts.reasons import Reason

PROBLEM_MEDIA_TYPE = "application/problem+json"
_URI = "urn:tidemark:problem:"
NOT_DELIVERED = "not_delivered"

# Of single events that are rejected; every other reason is 422.
REJECTED_STATUS: dict[str, int] = {Reason.WRONG_APP: 403, Reason.KEY_REQUIRED: 401}


@dataclass(frozen=True)
class ProblemType:
    """A kind of refusal. `meaning` and `remedy` are sentences for people."""

    code: str
    title: str
    meaning: str
    remedy: str

    @property
    def uri(self) -> str:
        """The stable `type`."""
        return _URI + self.code.replace("_", "-")

    @property
    def status(self) -> int:
        """The usual HTTP status."""
        if self.code in _OTHER_STATUS:
            return _OTHER_STATUS[self.code]
        return STATUS_OF[ErrorCode(self.code)] if self.code in STATUS_OF else REJECTED_STATUS.get(self.code, 422)


_OTHER_STATUS = {"not_found": 404, "method_not_allowed": 405, "bad_request": 400, "internal": 500, NOT_DELIVERED: 503}
_KEY = "Send `Authorization: Bearer KEY` or `X-API-Key: KEY` with a key of `tidemark keys create`."
_AS_SENT = "Send the same bytes again."

_TABLE: tuple[tuple[str, str, str, str], ...] = (
    (
        ErrorCode.MISSING_KEY,
        "A key is needed",
        "The request carries no key, and only development on loopback takes events without one.",
        _KEY,
    ),
    (
        ErrorCode.WRONG_KEY,
        "The key is not valid",
        "The key or token is unknown, revoked, malformed, or not made for this service.",
        "Check the key with `tidemark keys list`, or ask the token's issuer for one.",
    ),
    (
        ErrorCode.CREDENTIAL_EXPIRED,
        "The token has expired",
        "The bearer token was valid once; its `exp` has passed.",
        "Ask its issuer for a new one and send the same bytes again.",
    ),
    (
        ErrorCode.READ_KEY,
        "A read key cannot write",
        "The key is valid, but it may only read.",
        "Use the app's write key.",
    ),
    (
        ErrorCode.WRONG_SCOPE,
        "The token does not allow this",
        "The bearer token lacks the scope `ingest`, or names no app.",
        "Ask its issuer for a token with the scope and the app's claim.",
    ),
    (
        ErrorCode.RATE_LIMITED,
        "Too many requests",
        "The key (without one, the client's address) has used up its requests per minute. A batch is one request.",
        "Wait for `Retry-After` seconds and send the same bytes again; gather events into batches.",
    ),
    (
        ErrorCode.QUOTA_EXCEEDED,
        "The day's events are used up",
        "The app has sent as many events as it may per UTC day.",
        "Wait for `Retry-After` seconds, until the next UTC day, or raise TIDEMARK_INGESTION_DAILY_QUOTA_EVENTS.",
    ),
    (
        ErrorCode.IDEMPOTENCY_CONFLICT,
        "The Idempotency-Key was used with another event",
        "The key was acknowledged before with another `event_id`.",
        "Use one key per event, or leave `event_id` out.",
    ),
    (
        ErrorCode.BODY_TOO_LARGE,
        "The body is too large",
        "The body, packed or unpacked, or one event of it is larger than allowed.",
        "Send smaller batches; a single event may have 1 MiB.",
    ),
    (
        ErrorCode.BAD_ENCODING,
        "The body cannot be unpacked",
        "The gzip body is malformed or cut short.",
        "Send whole gzip, or none.",
    ),
    (
        ErrorCode.MALFORMED_REQUEST,
        "The request is not HTTP",
        "The bytes on the connection are not an HTTP/1.1 request: a broken line, a length that contradicts itself, a wrong chunk.",
        "Send HTTP/1.1; the connection is closed.",
    ),
    (
        ErrorCode.REQUEST_TIMEOUT,
        "The request did not come in time",
        "Headers or body came too slowly or stopped; nothing of the request was taken.",
        "Send the same bytes again over a new connection; gather fewer events where the line is slow.",
    ),
    (
        ErrorCode.HEADERS_TOO_LARGE,
        "The headers are too large",
        "There are more than 100 headers, or they are longer than allowed.",
        "Send fewer or shorter headers.",
    ),
    (
        ErrorCode.UNSUPPORTED_ENCODING,
        "The encoding is not supported",
        "Content-Encoding is neither absent, identity nor, for batches, gzip.",
        "Use gzip for batches and none for single events.",
    ),
    (
        ErrorCode.UNSUPPORTED_MEDIA_TYPE,
        "The media type is not supported",
        "The Content-Type names an event format or a charset that is not read here; `detail` names those that are.",
        "Send JSON in UTF-8 with one of the media types that `/docs` lists for the address.",
    ),
    (
        ErrorCode.BATCH_TOO_LARGE,
        "Too many events in one batch",
        "The batch holds more events than allowed.",
        "Split it.",
    ),
    (ErrorCode.BATCH_EMPTY, "The batch is empty", "The batch holds no event.", "Send at least one."),
    (
        ErrorCode.INVALID_HEADER,
        "A header is not valid",
        "A header has a value that is not allowed; `detail` names it.",
        "Correct the header.",
    ),
    (
        ErrorCode.UNAVAILABLE,
        "Temporarily unavailable",
        "The broker is away or too much is in flight. Nothing of the request was acknowledged.",
        f"{_AS_SENT[:-1]} after `Retry-After` seconds.",
    ),
    (ErrorCode.CLIENT_GONE, "The client closed the connection", "The body did not arrive whole.", _AS_SENT),
    (
        NOT_DELIVERED,
        "The event was not acknowledged",
        "The broker did not confirm this event of a batch; others may have been confirmed.",
        _AS_SENT,
    ),
    (
        Reason.MALFORMED_JSON,
        "The event is not JSON",
        "The bytes cannot be read as one JSON document.",
        "Send one JSON object per event.",
    ),
    (
        Reason.DUPLICATE_KEY,
        "A key is written twice",
        "A JSON object names a key twice, which readers understand differently.",
        "Write every key once.",
    ),
    (
        Reason.INVALID_UTF8,
        "The text is not UTF-8",
        "The bytes are not valid UTF-8, or hold half of a surrogate pair.",
        "Encode as UTF-8.",
    ),
    (
        Reason.NOT_FINITE_NUMBER,
        "A number is not finite",
        "NaN and Infinity are no JSON.",
        "Leave the field out or send null where it is allowed.",
    ),
    (
        Reason.NUMBER_OUT_OF_RANGE,
        "A number is out of range",
        "An integer does not fit 64 bits, or a float overflows.",
        "Send such numbers as texts.",
    ),
    (
        Reason.TOO_DEEP,
        "The event is nested too deeply",
        "Objects and lists are nested deeper than is read.",
        "Flatten the event.",
    ),
    (
        Reason.NOT_AN_OBJECT,
        "The event is not an object",
        "The document is a list, text, number or null.",
        "Send an object.",
    ),
    (
        Reason.MISSING_FIELD,
        "A field is missing",
        "A field that the contract needs is absent; `detail` names it.",
        "See `docs/contracts`.",
    ),
    (
        Reason.INVALID_FIELD,
        "A field is not valid",
        "A field has a type or value that the contract does not allow; `detail` names it.",
        "See `docs/contracts`.",
    ),
    (
        Reason.UNKNOWN_FAMILY,
        "The event is of no known family",
        "The fields name no family of events, or several.",
        "Send the fields of one family, or use its own address.",
    ),
    (
        Reason.OCCURRED_IN_FUTURE,
        "The event lies in the future",
        "`occurred_at` is more than 60 seconds ahead of the server's clock.",
        "Set the client's clock.",
    ),
    (
        Reason.BEFORE_FIRST_DAY,
        "The event is too old",
        "`occurred_at` is before the platform's first day.",
        "Check the unit of the timestamp; import history with `tidemark import`.",
    ),
    (
        Reason.UNKNOWN_VARIANT,
        "The experiment has no such variant",
        "The event names a variant that its experiment does not have; without registration these are A and B.",
        "Use one of the experiment's variants, or register it with `PUT /experiments/{id}`.",
    ),
    (
        ErrorCode.INVALID_EXPERIMENT,
        "The experiment is not well described",
        "Variants, shares or times break a rule; the message names it.",
        "Correct the body and send it again.",
    ),
    (
        ErrorCode.UNKNOWN_EXPERIMENT,
        "There is no such experiment",
        "The app has registered no experiment of this id.",
        "Look at `GET /experiments`, or register it with `PUT /experiments/{id}`.",
    ),
    (
        ErrorCode.EXPERIMENT_CONFLICT,
        "The experiment cannot change like this",
        "Events were taken under its present description, which the change would contradict; the message says how.",
        "Register another experiment.",
    ),
    (
        Reason.UNKNOWN_SCHEMA,
        "The Avro schema is not known",
        "The record's schema id is not one of the schema registry's, or its schema cannot be read as the contract.",
        "Register the schema first; existing Avro serializers do so by themselves.",
    ),
    (
        Reason.MALFORMED_AVRO,
        "The bytes are not an Avro record",
        "The body does not begin with a zero byte and a schema id, or the datum does not fit its schema.",
        "Send the registry's wire format: a zero byte, the schema's id in four bytes, the datum.",
    ),
    (
        Reason.WRONG_APP,
        "The event belongs to another app",
        "The event's `app_id` is not the key's.",
        "Use that app's key, or leave `app_id` out.",
    ),
    (
        Reason.KEY_REQUIRED,
        "The event's app has a key",
        "The request carries no key, but the event's `app_id` names an app that has one.",
        _KEY,
    ),
    ("bad_request", "The request cannot be read", "The request is malformed.", "Correct the request."),
    ("not_found", "No such address", "There is nothing at this path.", "See `/docs`."),
    (
        "method_not_allowed",
        "The method is not allowed",
        "The path exists, but not for this method; `Allow` names those that do.",
        "Use one of them.",
    ),
    (
        "internal",
        "Internal error",
        "The request failed for a reason that the log names. Whether an event was acknowledged is not known.",
        "Send the same bytes again with the same `event_id`s.",
    ),
)

PROBLEMS: dict[str, ProblemType] = {str(row[0]): ProblemType(str(row[0]), *row[1:]) for row in _TABLE}


def problem_type(code: str) -> ProblemType:
    """The type of a code; one that the table lacks is named by its code."""
    known = PROBLEMS.get(code)
    return known or ProblemType(code, code.replace("_", " ").capitalize(), "", "")
