"""The rows of a file in their order, each with the bytes it was read from. Streaming: memory does not grow with the file.

A row that cannot be read is a row with a rejection; reading goes on behind it. Blank lines are no rows.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from ingestion.contracts.reasons import Reason
from ingestion.contracts.topics import MAX_RECORD_SIZE_BYTES
from ingestion.contracts.validation import Rejection
from ingestion.importers.errors import UnreadableFileError
from ingestion.importers.gzip_stream import DamagedGzipError, GzipStream
from ingestion.importers.mapping import FileFormat

# A row larger than a Kafka record can never be produced; its beginning is kept, the rest is read away.
ROW_MAX_BYTES = MAX_RECORD_SIZE_BYTES
_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_BUFFER_BYTES = 256 * 1024


class Row(msgspec.Struct, gc=False):
    """One row. CSV rows carry `cells` beside the bytes, in the order of the header."""

    raw: bytes
    cells: list[str] | None = None
    rejection: Rejection | None = None


class RowReader:
    """Iterates over the rows of a file; `position` is how far into the file it has read, in bytes on disk."""

    def __init__(self, path: Path, file_format: FileFormat, delimiter: str = ",") -> None:
        self._path = path
        self._format = file_format
        self._delimiter = delimiter
        self._disk: IO[bytes] | None = None
        self.header: list[str] = []

    @property
    def position(self) -> int:
        """Bytes of the file read so far."""
        return self._disk.tell() if self._disk is not None and not self._disk.closed else 0

    def __iter__(self) -> Iterator[Row]:
        """Raises: UnreadableFileError where the file breaks, after all rows before it."""
        try:
            with self._path.open("rb") as disk:
                self._disk = disk
                yield from self._read(_unpacked(disk))
        except DamagedGzipError as error:
            raise UnreadableFileError(
                f"{self._path.name} is damaged: {error}. The rows before that point are imported."
            ) from None
        except OSError as error:
            raise UnreadableFileError(f"{self._path.name} cannot be read: {error.strerror or error}") from None

    def _read(self, source: IO[bytes]) -> Iterator[Row]:
        lines = _lines(source)
        if self._format == "ndjson":
            for line, is_whole in lines:
                text = line.strip(b" \t\r\n")
                if not is_whole:
                    yield Row(text, rejection=_too_large())
                elif text:
                    yield Row(text)
            return
        yield from self._read_csv(lines)

    def _read_csv(self, lines: Iterator[tuple[bytes, bool]]) -> Iterator[Row]:
        taken = _TakenLines(lines)
        csv.field_size_limit(ROW_MAX_BYTES)
        reader = csv.reader(iter(taken.next_text, None), delimiter=self._delimiter, strict=True)
        is_header = True
        while True:
            taken.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if is_header:
                    raise UnreadableFileError(f"{self._path.name}: the header is not CSV: {error}") from None
                if not taken.raw:
                    return
                yield Row(taken.raw, rejection=Rejection(Reason.MALFORMED_ROW, str(error)[:200]))
                continue
            if not cells or not taken.raw.strip():
                continue
            if is_header:
                self.header, is_header = self._check_header(cells), False
                continue
            yield self._csv_row(taken, cells)

    def _csv_row(self, taken: "_TakenLines", cells: list[str]) -> Row:
        if taken.is_cut:
            return Row(taken.raw[:ROW_MAX_BYTES], rejection=_too_large())
        if not taken.is_utf8:
            return Row(taken.raw, rejection=Rejection(Reason.INVALID_UTF8, "the row is not valid UTF-8"))
        if len(cells) != len(self.header):
            message = f"found {len(cells)} cells, the header has {len(self.header)}"
            return Row(taken.raw, rejection=Rejection(Reason.MALFORMED_ROW, message))
        return Row(taken.raw, cells)

    def _check_header(self, cells: list[str]) -> list[str]:
        names = [cell.strip() for cell in cells]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UnreadableFileError(f"{self._path.name}: the header names {twice} more than once")
        return names


class _TakenLines:
    """Hands lines to the csv module as text and remembers the bytes of the row in the making."""

    def __init__(self, lines: Iterator[tuple[bytes, bool]]) -> None:
        self._lines = lines
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self.is_cut = False
        self.is_utf8 = True

    @property
    def raw(self) -> bytes:
        """The row's bytes without its line end."""
        return b"".join(self._parts).rstrip(b"\r\n")

    def clear(self) -> None:
        """The next line begins a row."""
        self._parts, self._size_bytes, self.is_cut, self.is_utf8 = [], 0, False, True

    def next_text(self) -> str | None:
        """The next line, None at the end. Raises: csv.Error when an open quote makes the row endless."""
        if self._size_bytes > ROW_MAX_BYTES:
            raise csv.Error(f"a quote is not closed within {ROW_MAX_BYTES} bytes")
        line, is_whole = next(self._lines, (b"", True))
        if not line:
            return None
        self._parts.append(line)
        self._size_bytes += len(line)
        self.is_cut = self.is_cut or not is_whole
        try:
            return line.decode()
        except UnicodeDecodeError:
            self.is_utf8 = False
            return line.decode("utf-8", "replace")


def _unpacked(disk: IO[bytes]) -> IO[bytes]:
    """The file's content: unpacked when it begins as gzip does, whatever its name."""
    magic = disk.read(len(_GZIP_MAGIC))
    disk.seek(0)
    if magic == _GZIP_MAGIC:
        return io.BufferedReader(GzipStream(disk), _BUFFER_BYTES)
    return disk


def _lines(source: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    """(line with its end, True) of every line; of a line that is too large its beginning, and False."""
    is_first = True
    while line := source.readline(ROW_MAX_BYTES):
        is_whole = len(line) < ROW_MAX_BYTES or line.endswith(b"\n")
        if not is_whole:
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = source.readline(ROW_MAX_BYTES)
        if is_first:
            line, is_first = line.removeprefix(_BOM), False
            if not line:
                continue
        yield line, is_whole


def _too_large() -> Rejection:
    return Rejection(Reason.BODY_TOO_LARGE, f"one row is larger than {ROW_MAX_BYTES} bytes; its beginning is kept")
