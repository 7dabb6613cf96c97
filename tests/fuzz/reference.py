"""A slow and plain second opinion on event bodies: the standard library's JSON with every rule written out, nothing clever.

Covers what is strict JSON, the engagement and the generic contract. How a time is read is the contracts' own (it has tables of its own).
"""

import json
import re
from datetime import date, datetime
from typing import Any, NoReturn

from ingestion.contracts.clocks import TimestampError, earliest_occurred_at, latest_occurred_at, parse_timestamp

WHITE_SPACE = " \t\n\r\x0b\x0c"
TYPES = ("click", "like", "comment", "share", "view")
PLATFORMS = ("web", "ios", "android", "mobile_web")
REFUSED = None
Stamps = tuple[str, str, str | None, str | None]


class RefusedError(Exception):
    """The body is not taken."""


def strict_document(raw: bytes) -> Any:
    """The value, if every parser reads the same. Raises: RefusedError."""
    try:
        document = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse,
            parse_int=_integer,
            parse_float=_float,
        )
    except (ValueError, RecursionError):
        raise RefusedError from None
    _walk(document, 1)
    return document


def stamps(raw: bytes, family: str, received_at: datetime, first_day: date) -> Stamps | None:
    """(event type, user id, event id, time) of a good event, REFUSED for any other."""
    try:
        document = strict_document(raw)
        _require(isinstance(document, dict))
        _require(
            not any("\0" in name or (isinstance(value, str) and "\0" in value) for name, value in document.items())
        )
        (_engagement if family == "engagement" else _generic)(document)
        user_id = document["user_id"].strip(WHITE_SPACE)
        _require(1 <= len(user_id) <= 100)
        event_id, time = document.get("event_id"), document.get("timestamp")
        _require(event_id is None or bool(event_id.strip(WHITE_SPACE)))
        occurred_at = None if time is None else parse_timestamp(time)
        _require(
            occurred_at is None or earliest_occurred_at(first_day) <= occurred_at <= latest_occurred_at(received_at)
        )
    except (RefusedError, TimestampError):
        return REFUSED
    return document["event_type"], user_id, event_id, occurred_at


def _engagement(document: dict[str, Any]) -> None:
    _require(document.get("event_type") in TYPES and type(document["event_type"]) is str)
    _require(document.get("platform") in PLATFORMS and type(document["platform"]) is str)
    _envelope(document)
    for name, longest in {"content_id": 100, "session_id": 100, "device_type": 50, "location": 100}.items():
        _text(document.get(name, ""), 0, longest)
    metadata = document.get("metadata")
    _require(metadata is None or isinstance(metadata, dict))
    for value in (metadata or {}).values():
        _require(value is not None)
        _text(value, 0, 1000)


def _generic(document: dict[str, Any]) -> None:
    _require(document.get("event_type") is not None and isinstance(document.get("payload"), dict))
    _text(document["event_type"], 1, 100)
    _envelope(document)


def _envelope(document: dict[str, Any]) -> None:
    _require(isinstance(document.get("user_id"), str) and document["user_id"] != "")
    _text(document.get("event_id", "x"), 1, 200)
    time = document.get("timestamp")
    _require(time is None or (isinstance(time, (str, int, float)) and not isinstance(time, bool)))


def _text(value: Any, shortest: int, longest: int) -> None:
    _require(value is None or (isinstance(value, str) and shortest <= len(value) <= longest))


def _require(condition: bool) -> None:
    if not condition:
        raise RefusedError


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _require(len({name for name, _ in pairs}) == len(pairs))
    return dict(pairs)


def _refuse(_: str) -> NoReturn:
    raise RefusedError


def _integer(digits: str) -> int:
    _require(len(digits) <= 20)
    value = int(digits)
    _require(-(2**63) <= value < 2**64)
    return value


def _float(digits: str) -> float:
    value = float(digits)
    _require(value not in (float("inf"), float("-inf")))
    return value


def _walk(value: Any, depth: int) -> None:
    """Refuses half surrogates, and what is deeper than 64 containers."""
    if isinstance(value, str):
        _require(not re.search("[\ud800-\udfff]", value))
    elif isinstance(value, (list, dict)) and value:
        _require(depth <= 64)
        for name in value if isinstance(value, dict) else ():
            _walk(name, depth)
        for inner in value.values() if isinstance(value, dict) else value:
            _walk(inner, depth + 1)
