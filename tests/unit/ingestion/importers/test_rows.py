"""Rows of files as they come: compressed or not, damaged or not."""

import gzip
from pathlib import Path

import pytest

from ingestion.contracts.reasons import Reason
from ingestion.importers.errors import UnreadableFileError
from ingestion.importers.mapping import FileFormat
from ingestion.importers.rows import ROW_MAX_BYTES, Row, RowReader


def read(tmp_path: Path, content: bytes, file_format: FileFormat = "ndjson", name: str = "file") -> list[Row]:
    path = tmp_path / name
    path.write_bytes(content)
    return list(RowReader(path, file_format))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_lines(tmp_path: Path, end: bytes, is_packed: bool, bom: bytes) -> None:
    content = bom + end.join([b'{"a":1}', b"", b"  ", b'{"b":2}'])
    rows = read(tmp_path, gzip.compress(content) if is_packed else content)
    assert [row.raw for row in rows] == [b'{"a":1}', b'{"b":2}']


def test_cells_with_quotes_commas_line_ends_and_blank_lines(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbfa,b\r\n1,"x, ""y""\r\nz"\r\n\r\n,\r\n'
    rows = read(tmp_path, content, "csv")
    assert [row.cells for row in rows] == [["1", 'x, "y"\r\nz'], ["", ""]]
    assert rows[0].raw == b'1,"x, ""y""\r\nz"'


def test_rows_that_cannot_be_read_are_rejected_and_reading_goes_on(tmp_path: Path) -> None:
    content = b'a,b\n1,2,3\n1\n"x"y,2\n\xff,2\nfine,2\n'
    rows = read(tmp_path, content, "csv")
    reasons = [row.rejection.reason if row.rejection else None for row in rows]
    assert reasons == [Reason.MALFORMED_ROW, Reason.MALFORMED_ROW, Reason.MALFORMED_ROW, Reason.INVALID_UTF8, None]
    assert [row.raw for row in rows[:4]] == [b"1,2,3", b"1", b'"x"y,2', b"\xff,2"]


def test_a_quote_that_is_never_closed_does_not_swallow_the_memory(tmp_path: Path) -> None:
    content = b'a,b\n"' + b"x,y\n" * (ROW_MAX_BYTES // 2)
    rows = read(tmp_path, content, "csv")
    assert rows[0].rejection is not None
    assert len(rows[0].raw) <= ROW_MAX_BYTES + 100
    assert rows[-1].cells == ["x", "y"]


def test_a_quote_open_at_the_end_is_rejected(tmp_path: Path) -> None:
    rows = read(tmp_path, b'a,b\n1,2\n"open,3\n', "csv")
    assert [row.rejection is None for row in rows] == [True, False]


@pytest.mark.parametrize("size", [1024 * 1024 + 17, ROW_MAX_BYTES - 1])
def test_lines_beyond_a_mebibyte_are_read(tmp_path: Path, size: int) -> None:
    rows = read(tmp_path, b'"' + b"x" * (size - 2) + b'"\n{}\n')
    assert [len(row.raw) for row in rows] == [size, 2]


def test_a_line_that_fits_no_record_is_rejected_and_the_next_is_read(tmp_path: Path) -> None:
    rows = read(tmp_path, b"x" * (3 * ROW_MAX_BYTES) + b"\n{}\n")
    assert rows[0].rejection is not None
    assert rows[0].rejection.reason is Reason.BODY_TOO_LARGE
    assert (len(rows[0].raw), rows[1].raw) == (ROW_MAX_BYTES, b"{}")


@pytest.mark.parametrize("damage", ["cut", "checksum"])
def test_a_damaged_gzip_gives_what_is_readable_then_says_so(tmp_path: Path, damage: str) -> None:
    packed = gzip.compress(b"".join(b'{"n":%d}\n' % number for number in range(50_000)))
    content = packed[: len(packed) // 2] if damage == "cut" else packed[:-8] + b"\0" * 8
    path = tmp_path / "file.json.gz"
    path.write_bytes(content)
    rows: list[Row] = []
    reader = iter(RowReader(path, "ndjson"))
    with pytest.raises(UnreadableFileError, match="rows before that point are imported"):
        while True:
            rows.append(next(reader))
    assert len(rows) > 20_000 if damage == "cut" else len(rows) == 50_000
    assert [row.raw for row in rows[:2]] == [b'{"n":0}', b'{"n":1}']


@pytest.mark.parametrize("content", [b"a,a\n1,2\n", b'"a"b,c\n1,2\n'])
def test_a_header_that_cannot_be_used_ends_it(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UnreadableFileError, match="header"):
        read(tmp_path, content, "csv")


@pytest.mark.parametrize("file_format", ["csv", "ndjson"])
def test_an_empty_file_has_no_rows(tmp_path: Path, file_format: FileFormat) -> None:
    assert read(tmp_path, b"", file_format) == []
    assert read(tmp_path, gzip.compress(b""), file_format) == []


def test_gzip_members_and_padding_are_one_file(tmp_path: Path) -> None:
    content = gzip.compress(b"{}\n") + gzip.compress(b'{"a":1}\n') + b"\0" * 512
    assert [row.raw for row in read(tmp_path, content)] == [b"{}", b'{"a":1}']
