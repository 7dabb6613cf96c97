"""Request bodies in bounded memory: size limits, gzip with a ceiling on the unpacked size, one budget for all requests."""

import zlib

from starlette.requests import ClientDisconnect, Request

from ingestion.api.errors import ErrorCode, RequestError

_DRAINED_MAX_BYTES = 64 * 1024 * 1024
# What a piece of a body costs beside its bytes: a client that sends byte by byte pays for it out of the same budget.
_PIECE_BYTES = 64
# Members of one gzip body. Each costs a decompressor and a copy of what is left of the piece: by the million they are a bomb of their own.
_MAX_MEMBERS = 10_000


class BodyBudget:
    """Bytes of bodies in memory over all requests. Used from the event loop only."""

    def __init__(self, max_bytes: int) -> None:
        self._free_bytes = max_bytes

    def take(self, size_bytes: int) -> None:
        """Raises: RequestError when the budget is spent."""
        if size_bytes > self._free_bytes:
            raise RequestError(ErrorCode.UNAVAILABLE, "too many request bodies at one time")
        self._free_bytes -= size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Returns what was taken."""
        self._free_bytes += size_bytes


class BodyReader:
    """Reads one request's body; a context manager, so that its share of the budget is given back after the answer."""

    def __init__(self, request: Request, budget: BodyBudget) -> None:
        self._request = request
        self._budget = budget
        self._taken_bytes = 0

    def __enter__(self) -> "BodyReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.give_back(self._taken_bytes)

    async def read(self, max_bytes: int, unpacked_max_bytes: int | None = None) -> bytes:
        """The body, unpacked when `unpacked_max_bytes` is given and the request says gzip. Raises: RequestError."""
        unpacker = self._make_unpacker(unpacked_max_bytes)
        chunks: list[bytes] = []
        received_bytes = 0
        try:
            if _declared_length(self._request) > max_bytes:
                raise _too_large(max_bytes)
            async for chunk in self._request.stream():
                received_bytes += len(chunk)
                if received_bytes > max_bytes:
                    raise _too_large(max_bytes)
                kept = unpacker.feed(chunk) if unpacker is not None else chunk
                if kept:
                    self._budget.take(len(kept) + _PIECE_BYTES)
                    self._taken_bytes += len(kept) + _PIECE_BYTES
                    chunks.append(kept)
            if unpacker is not None:
                unpacker.finish()
        except ClientDisconnect:
            raise RequestError(ErrorCode.CLIENT_GONE, "the client closed the connection") from None
        return b"".join(chunks)

    def _make_unpacker(self, unpacked_max_bytes: int | None) -> "_GzipUnpacker | None":
        encoding = self._request.headers.get("content-encoding", "identity").strip().lower()
        if encoding in ("identity", ""):
            return None
        if encoding in ("gzip", "x-gzip") and unpacked_max_bytes is not None:
            return _GzipUnpacker(unpacked_max_bytes)
        raise RequestError(
            ErrorCode.UNSUPPORTED_ENCODING, "Content-Encoding must be absent, identity, or gzip for batches"
        )

    async def drain(self) -> None:
        """Reads the rest away, within reason: a client that is still sending would see a reset instead of the answer."""
        drained_bytes = 0
        try:
            async for chunk in self._request.stream():
                drained_bytes += len(chunk)
                if drained_bytes > _DRAINED_MAX_BYTES:
                    return
        except (ClientDisconnect, RuntimeError):
            return


class _GzipUnpacker:
    """Unpacks gzip members as they arrive and stops at the ceiling: a bomb costs no more memory than an honest body."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._unpacked_bytes = 0
        self._member = zlib.decompressobj(wbits=31)
        self._has_begun = False
        self._ended_members = 0

    def feed(self, packed: bytes) -> bytes:
        """What `packed` unpacks to. Raises: RequestError."""
        parts: list[bytes] = []
        try:
            while packed:
                if self._member.eof:
                    self._ended_members += 1
                    if self._ended_members >= _MAX_MEMBERS:
                        raise RequestError(ErrorCode.BAD_ENCODING, f"more than {_MAX_MEMBERS} gzip members")
                    self._member = zlib.decompressobj(wbits=31)
                self._has_begun = True
                part = self._member.decompress(packed, self._max_bytes - self._unpacked_bytes + 1)
                self._unpacked_bytes += len(part)
                if self._unpacked_bytes > self._max_bytes:
                    raise _too_large(self._max_bytes, "unpacked ")
                parts.append(part)
                packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        except zlib.error:
            raise RequestError(ErrorCode.BAD_ENCODING, "the body is not valid gzip") from None
        return b"".join(parts)

    def finish(self) -> None:
        """Raises: RequestError when the stream was cut."""
        if self._has_begun and not self._member.eof:
            raise RequestError(ErrorCode.BAD_ENCODING, "the gzip body ends too early")


def _declared_length(request: Request) -> int:
    text = request.headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _too_large(max_bytes: int, what: str = "") -> RequestError:
    return RequestError(ErrorCode.BODY_TOO_LARGE, f"the {what}body is larger than {max_bytes} bytes")
