"""The short way through validation: engagements that are written without any oddity, at half the cost of the full way.

An engagement is plain when its fields are the stamps as they stand: JSON without backslashes whose every colon is accounted for, a
time in canonical text within the limits, a user id without white space around it. What is not plain is not wrong: it goes the full way
(`ingestion.contracts.validation`), which reaches the same verdict (a property test compares them).
"""

from datetime import datetime
from typing import Annotated, Final, get_type_hints

import msgspec
from msgspec import Meta

from ingestion.contracts.clocks import CANONICAL_LENGTH, CANONICAL_SEPARATORS, is_canonical
from ingestion.contracts.engagement import EngagementEvent
from ingestion.contracts.fields import MAX_USER_ID_LENGTH, TRIMMED_CHARACTERS

BACKSLASH: Final = 0x5C

_COLONS_IN_TIME = 2

_from_iso = datetime.fromisoformat

_FIELDS = get_type_hints(EngagementEvent, include_extras=True)
_PLAIN_TYPES = {
    "user_id": Annotated[str, Meta(min_length=1, max_length=MAX_USER_ID_LENGTH)],
    "timestamp": str,
}


def _without_none(kind: object) -> object:
    options = [option for option in getattr(kind, "__args__", ()) if option is not type(None)]
    return options[0] if len(options) == 1 and type(None) in kind.__args__ else kind  # type: ignore[attr-defined]


# An engagement that names every field. That all are there is then proven by the decoder, which is cheaper than asking for each.
_Complete = msgspec.defstruct(
    "_Complete",
    [(name, _PLAIN_TYPES.get(name, _without_none(kind))) for name, kind in _FIELDS.items()],
    gc=False,
)
_COMPLETE_COLONS = len(_FIELDS) + _COLONS_IN_TIME

decode_complete = msgspec.json.Decoder(_Complete).decode
"""An engagement with every field; raises msgspec's errors for anything else."""
_decode_any = msgspec.json.Decoder(EngagementEvent).decode
_NOT_PLAIN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class PlainReader:
    """Reads events received at one moment. `is_expected`: the last event was an engagement, so the next one probably is."""

    def __init__(self, earliest: str, latest: str, *, is_expected: bool = True) -> None:
        self.is_expected = is_expected
        self._earliest = earliest
        self._latest = latest
        self._are_complete = True

    def read(self, raw: bytes) -> EngagementEvent | None:
        """The event when it is plain, so that its fields are the stamps. (Of the type EngagementEvent or one with the same fields.)

        Counting colons proves that no key is written twice and none is unknown: without a backslash, every colon belongs to a known key,
        to a key of the metadata or to a string that is read here. Known fields hold no container but metadata, whose values are
        strings, so depth and integers are settled too.
        """
        if not self._are_complete:
            return self._read_incomplete(raw)
        try:
            event: EngagementEvent = decode_complete(raw)  # type: ignore[assignment]  # the same fields
        except _NOT_PLAIN:
            self._are_complete = False
            return self._read_incomplete(raw)
        text: str = event.timestamp  # type: ignore[assignment]  # the decoder saw to it
        colon_count = raw.count(b":") - _COMPLETE_COLONS - len(event.metadata)  # type: ignore[arg-type]  # all are there
        # is_canonical, word for word: a call costs as much as what it asks.
        if (
            len(text) != CANONICAL_LENGTH
            or text[4:20:3] != CANONICAL_SEPARATORS
            or text[26] != "Z"
            or not self._earliest <= text <= self._latest
            or BACKSLASH in raw  # the byte's number: looking for b"\\" takes six times as long
            or event.user_id.strip(TRIMMED_CHARACTERS) != event.user_id
            or event.event_id.isspace()  # type: ignore[union-attr]
            or (colon_count and colon_count != _colons_in_texts(event))
        ):
            return None
        try:
            _from_iso(text)
        except ValueError:
            return None
        return event

    def _read_incomplete(self, raw: bytes) -> EngagementEvent | None:
        """The same for one that leaves fields out."""
        try:
            event = _decode_any(raw)
        except _NOT_PLAIN:
            self.is_expected, self._are_complete = False, True
            return None
        user_id, event_id = event.user_id, event.event_id
        colon_count = raw.count(b":") - _expected_colons(event)
        if (
            BACKSLASH in raw
            or not (event.timestamp is None or self._is_good_time(event.timestamp))
            or (colon_count and colon_count != _colons_in_texts(event))
            or user_id.strip(TRIMMED_CHARACTERS) != user_id
            or not 1 <= len(user_id) <= MAX_USER_ID_LENGTH
            or (event_id is not None and event_id.isspace())
        ):
            return None
        return event

    def _is_good_time(self, timestamp: str | float) -> bool:
        """Whether a time is spelt canonically and lies within the limits."""
        return type(timestamp) is str and is_canonical(timestamp) and self._earliest <= timestamp <= self._latest


def _expected_colons(event: EngagementEvent) -> int:
    """Colons of the keys, and of a canonical time."""
    count = (
        3
        + (event.event_id is not None)
        + (event.content_id is not None)
        + (event.session_id is not None)
        + (event.device_type is not None)
        + (event.location is not None)
    )
    if event.timestamp is not None:
        count += 1 + _COLONS_IN_TIME
    if event.metadata is not None:
        count += 1 + len(event.metadata)
    return count


def _colons_in_texts(event: EngagementEvent) -> int:
    """Colons inside the strings of an engagement, its time left out. (Type and platform are words without any.)"""
    texts = [event.user_id]
    for text in (event.event_id, event.content_id, event.session_id, event.device_type, event.location):
        if text is not None:
            texts.append(text)
    if event.metadata is not None:
        texts += event.metadata
        texts += event.metadata.values()
    return "".join(texts).count(":")
