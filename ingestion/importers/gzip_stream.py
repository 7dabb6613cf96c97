"""A gzip file as a stream that gives everything up to the point of damage before it says what is wrong.

The standard reader raises from inside its buffer, and what it had unpacked already is lost with it.
"""

import io
import zlib
from collections.abc import Iterator
from typing import IO

_PACKED_BYTES = 64 * 1024
_UNPACKED_BYTES = 1024 * 1024


class DamagedGzipError(ValueError):
    """The stream is cut or corrupt at this point; everything before it has been read."""


class GzipStream(io.RawIOBase):
    """Unpacks all members of a gzip file; memory does not depend on how well it was packed."""

    def __init__(self, disk: IO[bytes]) -> None:
        self._parts = _unpack(disk)
        self._ready = b""

    def readable(self) -> bool:
        """See io.RawIOBase."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed names a private type
        """See io.RawIOBase. Raises: DamagedGzipError."""
        while not self._ready:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._ready = part
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size


def _unpack(disk: IO[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(wbits=31)
    has_begun = False
    while packed := disk.read(_PACKED_BYTES):
        while packed:
            if member.eof:
                packed = packed.lstrip(b"\0")  # padding between members, as tapes and block devices leave it
                if not packed:
                    break
                member, has_begun = zlib.decompressobj(wbits=31), False
            before = member.copy()
            has_begun = True
            try:
                yield member.decompress(packed, _UNPACKED_BYTES)
            except zlib.error as error:
                yield from _squeeze(before, packed)
                raise DamagedGzipError(f"the gzip data is corrupt ({error})") from None
            packed = member.unused_data if member.eof else member.unconsumed_tail
    if has_begun and not member.eof:
        raise DamagedGzipError("the gzip data ends too early")


def _squeeze(member: "zlib._Decompress", packed: bytes) -> Iterator[bytes]:
    """What can still be unpacked before the corrupt byte."""
    for position in range(len(packed)):
        try:
            yield member.decompress(packed[position : position + 1])
        except zlib.error:
            return
