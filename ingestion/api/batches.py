"""Batch bodies cut into the bytes of their events: nothing is re-serialised, the slices are what the client sent."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgspec

from ingestion.contracts.reasons import Reason
from ingestion.contracts.strict_json import StrictJsonError, decode, decode_syntax

# A body with fewer commas cannot hold more events than fit memory easily: each costs some hundred bytes beside its own.
_PLAIN_MAX_COMMAS = 100_000
# What stands beside the events is read as a whole, for keys written twice; read values take up to twenty times their text.
_WRAPPING_MAX_BYTES = 1024 * 1024


_decode_outer = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def split_json_batch(body: bytes, max_events: int) -> list[bytes]:
    """The events of `{"events": [...]}`; of more than `max_events` possibly only one more. Raises: StrictJsonError.

    The error says why the wrapping cannot be read strictly.
    """
    try:
        events = items_of(body, "events", max_events)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _wrapping_error(body, error) from None
    if len(events) > max_events:
        return events
    # The wrapping is settled when its own bytes are nothing but one key and one list; else all of it is read strictly.
    wrapping_size = len(body) - sum(map(len, events)) - max(len(events) - 1, 0)
    if wrapping_size > len(b'{"events":[]}'):
        assure_wrapping(body, "events", events)
    return events


def items_of(body: bytes, list_name: str | None, max_items: int) -> list[bytes]:
    """The items of the list of that name in an object, or of a list; of more than `max_items` possibly only one more.

    Raises: msgspec.DecodeError, UnicodeDecodeError or RecursionError for what is no such body.
    """
    if body.count(b",") < _PLAIN_MAX_COMMAS:
        return _items_decoder(list_name, None)(body)
    return _items_decoder(list_name, max_items + 1)(body)


@cache
def _items_decoder(list_name: str | None, count: int | None) -> Callable[[bytes], list[bytes]]:
    """Reads all items, or the first `count` only: what a structure written as an array has no field for is passed over, not built."""
    shape: Any = list[msgspec.Raw]
    if count is not None:
        fields = [(f"item_{number}", msgspec.Raw, msgspec.Raw()) for number in range(count)]
        shape = msgspec.defstruct("FirstItems", fields, array_like=True)
    if list_name is not None:
        shape = msgspec.defstruct("Body", [("items", shape, msgspec.field(name=list_name))])
    decode_body = msgspec.json.Decoder(shape).decode

    def decode_items(body: bytes) -> list[bytes]:
        found = decode_body(body)
        if list_name is not None:
            found = found.items
        if count is not None:
            found = msgspec.structs.astuple(found)
        return [item for raw in found if (item := bytes(raw))]

    return decode_items


def _wrapping_error(body: bytes, error: Exception) -> StrictJsonError:
    """Why the body is no batch, found without building what a hostile body holds."""
    try:
        outer = _decode_outer(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as outer_error:
        if isinstance(outer_error, UnicodeDecodeError):
            return StrictJsonError(Reason.INVALID_UTF8, "not valid UTF-8")
        if len(body) > _WRAPPING_MAX_BYTES:
            return StrictJsonError(Reason.MALFORMED_JSON, str(outer_error)[:200])
        try:
            decode_syntax(body)
        except StrictJsonError as syntax_error:
            return syntax_error
        return StrictJsonError(Reason.NOT_AN_OBJECT, 'expected {"events": [...]}')
    reason = Reason.INVALID_FIELD if "events" in outer else Reason.MISSING_FIELD
    return StrictJsonError(reason, str(error)[:200])


def assure_wrapping(body: bytes, list_name: str, items: list[bytes]) -> None:
    """Raises: StrictJsonError when a key of the wrapping itself is written twice or cannot be read strictly."""
    try:
        outer = _decode_outer(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a key that reading the events passed over
        raise _wrapping_error(body, error) from None
    beside_bytes = len(body) - memoryview(outer.pop(list_name)).nbytes
    has_colon_in_key = any(":" in key for key in outer)
    if beside_bytes > _WRAPPING_MAX_BYTES or (has_colon_in_key and len(body) > _WRAPPING_MAX_BYTES):
        message = f"what stands beside {list_name} is larger than {_WRAPPING_MAX_BYTES} bytes"
        raise StrictJsonError(Reason.BODY_TOO_LARGE, message)
    if has_colon_in_key:
        decode(body)
        return
    beside = [bytes(raw) for raw in outer.values()]
    colons_in_values = sum(text.count(b":") for text in items) + sum(text.count(b":") for text in beside)
    if body.count(b":") > colons_in_values + len(outer) + 1:
        raise StrictJsonError(Reason.DUPLICATE_KEY, f"a key is written twice beside {list_name}")
    for text in beside:
        decode(text)


def split_lines(body: bytes, max_lines: int) -> tuple[list[bytes], Sequence[int]]:
    """(lines, their numbers from 0) of an NDJSON body, blank lines left out; of more than `max_lines` not all.

    Blank lines count, twice as many are read at most: a body of nothing but line ends is millions of them.
    """
    lines = body.split(b"\n", 2 * max_lines + 1)
    if len(lines) > 2 * max_lines + 1:
        return lines, range(len(lines))
    if not lines[-1]:
        lines.pop()
    if b"\r" in body:
        lines = [line.removesuffix(b"\r") for line in lines]
    if not all(lines) or any(map(bytes.isspace, lines)):
        numbers = [number for number, line in enumerate(lines) if line and not line.isspace()]
        return [lines[number] for number in numbers], numbers
    return lines, range(len(lines))
