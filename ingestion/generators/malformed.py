"""Lines that must be rejected, one kind after another. Each is a single line, so that it can travel in NDJSON."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from ingestion.contracts.clocks import format_utc

Fields = dict[str, Any]


def _encode(fields: Fields) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def _without(name: str) -> Callable[[Fields, datetime], bytes]:
    return lambda fields, _: _encode({key: value for key, value in fields.items() if key != name})


def _with(**changes: Any) -> Callable[[Fields, datetime], bytes]:
    return lambda fields, _: _encode({**fields, **changes})


def _at(offset: timedelta) -> Callable[[Fields, datetime], bytes]:
    return lambda fields, anchor: _encode({**fields, "timestamp": format_utc(anchor + offset)})


def _spliced(text: bytes) -> Callable[[Fields, datetime], bytes]:
    """The event with raw JSON text before its closing brace."""
    return lambda fields, _: _encode(fields)[:-1] + text + b"}"


KINDS: dict[str, Callable[[Fields, datetime], bytes]] = {
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
