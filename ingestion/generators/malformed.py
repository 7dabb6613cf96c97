"""Lines that must be rejected, one kind after another, per family. Each is a single line, so that it can travel in NDJSON.

Every kind is rejected at the family's own address and in a mixed batch alike.
"""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from ingestion.contracts.clocks import format_utc

Fields = dict[str, Any]
Spoil = Callable[[Fields, datetime], bytes]


def _encode(fields: Fields) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def _without(name: str) -> Spoil:
    return lambda fields, _: _encode({key: value for key, value in fields.items() if key != name})


def _with(**changes: Any) -> Spoil:
    return lambda fields, _: _encode({**fields, **changes})


def _at(offset: timedelta) -> Spoil:
    return lambda fields, anchor: _encode({**fields, "timestamp": format_utc(anchor + offset)})


def _at_milliseconds(name: str, offset: timedelta) -> Spoil:
    return lambda fields, anchor: _encode({**fields, name: int((anchor + offset).timestamp() * 1000)})


def _within(name: str, **changes: Any) -> Spoil:
    """The event with changes inside one of its objects."""
    return lambda fields, _: _encode({**fields, name: {**fields[name], **changes}})


def _spliced(text: bytes) -> Spoil:
    """The event with raw JSON text before its closing brace."""
    return lambda fields, _: _encode(fields)[:-1] + text + b"}"


KINDS: dict[str, Spoil] = {
    "truncated": lambda fields, _: _encode(fields)[:-7],
    "not_an_object": lambda fields, _: _encode([fields["event_id"]]),  # type: ignore[arg-type]  # wrong on purpose
    "missing_user": _without("user_id"),
    "blank_user": _with(user_id="   "),
    "numeric_user": _with(user_id=42),
    "long_user": _with(user_id="u" * 101),
    "unknown_type": _with(event_type="purchase"),
    "unknown_platform": _with(platform="toaster"),
    "bad_time": _with(timestamp="yesterday"),
    "future": _at(timedelta(days=2)),
    "before_first_day": _with(timestamp="1999-12-31T23:59:59Z"),
    "nan": _spliced(b',"score":NaN'),
    "duplicate_key": _spliced(b',"user_id":"someone_else"'),
    "lone_surrogate": _spliced(b',"note":"\\ud800"'),
    "invalid_utf8": _spliced(b',"note":"\xff\xfe"'),
    "metadata_number": _with(metadata={"position": 3}),
}

# Of any family whose event has a user_id: bytes that are no JSON object, and users that are none.
_ANY: dict[str, Spoil] = {
    name: KINDS[name]
    for name in (
        "truncated",
        "not_an_object",
        "missing_user",
        "blank_user",
        "numeric_user",
        "long_user",
        "nan",
        "duplicate_key",
        "lone_surrogate",
        "invalid_utf8",
    )
}
_TEXT_TIMES = {name: KINDS[name] for name in ("bad_time", "future", "before_first_day")}
_BEFORE_FIRST_DAY_MILLISECONDS = 946_684_799_000

PRODUCT_KINDS: dict[str, Spoil] = {
    **_ANY,
    "unknown_type": _with(event_type="purchase"),
    "bad_time": _with(event_ts="yesterday"),
    "future": _at_milliseconds("event_ts", timedelta(days=2)),
    "before_first_day": _with(event_ts=_BEFORE_FIRST_DAY_MILLISECONDS),
    "times_differ": _with(event_time=1),
    "missing_variant": _with(experiment_id="checkout"),
    "missing_id": _without("event_id"),
}
GENERIC_KINDS: dict[str, Spoil] = {
    **_ANY,
    **_TEXT_TIMES,
    "payload_text": _with(payload="{}"),
    "numeric_type": _with(event_type=7),
}
SOCIAL_KINDS: dict[str, Spoil] = {
    **_ANY,
    **_TEXT_TIMES,
    "unknown_type": _with(event_type="user_deleted"),
    "empty_handle": _with(handle=""),
    "missing_id": _without("event_id"),
}
DOWNLOAD_KINDS: dict[str, Spoil] = {
    **_ANY,
    "bad_time": _with(timestamp="yesterday"),
    "future": _at_milliseconds("timestamp", timedelta(days=2)),
    "before_first_day": _with(timestamp=_BEFORE_FIRST_DAY_MILLISECONDS),
    "unknown_status": _within("download", status="slow"),
    "negative_size": _within("content", size_mb=-1),
    "missing_context": _without("user_context"),
}
