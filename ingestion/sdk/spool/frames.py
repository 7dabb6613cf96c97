"""The bytes of a segment: a mark, then frames. Pure: bytes in, values out.

    segment   "TMSPOOL1" frame*
    frame     u32 payload length, u32 CRC-32 of kind and payload, u8 kind, payload       (little-endian)
    event     kind 1: u64 sequence, the event's bytes
    settled   kind 2: pairs of u64, first and last sequence of those that need no more sending

A frame that is cut, or whose checksum differs, ends its segment: what a crash left half written is behind every whole frame.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

MARK = b"TMSPOOL1"
_HEAD = struct.Struct("<IIB")
_SEQUENCE = struct.Struct("<Q")
_RANGE = struct.Struct("<QQ")
_EVENT, _SETTLED = 1, 2

EVENT_OVERHEAD_BYTES = _HEAD.size + _SEQUENCE.size
"""What a frame adds to an event, all of it before the event's bytes."""


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """Where an event's bytes lie in its segment."""

    sequence: int
    offset: int
    size_bytes: int


@dataclass
class Scan:
    """What a segment holds. From `whole_bytes` on nothing can be read."""

    events: list[FoundEvent] = field(default_factory=list)
    settled: list[tuple[int, int]] = field(default_factory=list)
    whole_bytes: int = len(MARK)


def event_frame(sequence: int, raw: bytes) -> bytes:
    """The frame of one event."""
    return _frame(_EVENT, _SEQUENCE.pack(sequence) + raw)


def settled_frame(sequences: Iterable[int]) -> bytes:
    """The frame that takes events out of the spool."""
    return _frame(_SETTLED, b"".join(_RANGE.pack(first, last) for first, last in _ranges(sequences)))


def scan(segment: bytes) -> Scan:
    """Everything that is whole. The mark is the caller's to check."""
    found = Scan()
    at = len(MARK)
    while at + _HEAD.size <= len(segment):
        length, checksum, kind = _HEAD.unpack_from(segment, at)
        start, end = at + _HEAD.size, at + _HEAD.size + length
        if end > len(segment) or zlib.crc32(segment[start - 1 : end]) != checksum:
            break
        if kind == _EVENT and length >= _SEQUENCE.size:
            sequence = _SEQUENCE.unpack_from(segment, start)[0]
            found.events.append(FoundEvent(sequence, start + _SEQUENCE.size, length - _SEQUENCE.size))
        elif kind == _SETTLED and length % _RANGE.size == 0:
            found.settled += _RANGE.iter_unpack(segment[start:end])
        else:
            break
        found.whole_bytes = at = end
    return found


def _frame(kind: int, payload: bytes) -> bytes:
    checked = bytes((kind,)) + payload
    return _HEAD.pack(len(payload), zlib.crc32(checked), kind) + payload


def _ranges(sequences: Iterable[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for sequence in sorted(sequences):
        if ranges and ranges[-1][1] == sequence - 1:
            ranges[-1] = (ranges[-1][0], sequence)
        else:
            ranges.append((sequence, sequence))
    return ranges
