"""Batch bodies cut into the bytes of their events: nothing is re-serialised, the slices are what the client sent."""

from collections.abc import Sequence

import msgspec

from ingestion.contracts.reasons import Reason
from ingestion.contracts.strict_json import StrictJsonError, decode, decode_syntax


class EventsBody(msgspec.Struct):
    """The body of a JSON batch."""

    events: list[msgspec.Raw]


_decode_events = msgspec.json.Decoder(EventsBody).decode


def split_json_batch(body: bytes) -> list[bytes]:
    """The events of `{"events": [...]}`. Raises: StrictJsonError when the wrapping cannot be read strictly."""
    try:
        events = [bytes(raw) for raw in _decode_events(body).events]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        document = decode_syntax(body)
        if type(document) is not dict:
            raise StrictJsonError(Reason.NOT_AN_OBJECT, 'expected {"events": [...]}') from None
        reason = Reason.INVALID_FIELD if "events" in document else Reason.MISSING_FIELD
        raise StrictJsonError(reason, str(error)[:200]) from None
    # The wrapping is settled when its own bytes are nothing but one key and one list; else all of it is read strictly.
    wrapping_size = len(body) - sum(map(len, events)) - max(len(events) - 1, 0)
    if wrapping_size > len(b'{"events":[]}'):
        assure_wrapping(body, "events")
    return events


def assure_wrapping(body: bytes, list_name: str) -> None:
    """Raises: StrictJsonError when a key of the wrapping itself is written twice or cannot be read strictly."""
    outer = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if any(":" in key for key in outer):
        decode(body)
        return
    colons_in_values = sum(bytes(raw).count(b":") for raw in outer.values())
    if body.count(b":") > colons_in_values + len(outer):
        raise StrictJsonError(Reason.DUPLICATE_KEY, f"a key is written twice beside {list_name}")
    for key, raw in outer.items():
        if key != list_name:
            decode(bytes(raw))


def split_lines(body: bytes) -> tuple[list[bytes], Sequence[int]]:
    """(lines, their numbers from 0) of an NDJSON body, blank lines left out."""
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    if b"\r" in body:
        lines = [line.removesuffix(b"\r") for line in lines]
    if not all(lines) or any(map(bytes.isspace, lines)):
        numbers = [number for number, line in enumerate(lines) if line and not line.isspace()]
        return [lines[number] for number in numbers], numbers
    return lines, range(len(lines))
