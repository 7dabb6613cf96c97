"""JSON read so that every component reads the same value: what two parsers could read differently is refused.

Refused: bad UTF-8, NaN and infinities, lone surrogates, integers beyond 64 bits, nesting deeper than MAX_DEPTH, duplicated keys.
msgspec refuses all but the last three. Duplicated keys are found by arithmetic, because a parser with a hook per object costs ten
times the parse itself: in a text without backslashes, colons outside strings = keys written, so
`colons - colons inside strings > distinct keys` exactly when a key is written twice. Texts with backslashes whose sum does not
settle it take the slow parser.
"""

import json
from typing import Any, NoReturn

import msgspec

from ingestion.contracts.reasons import Reason

MAX_DEPTH = 64
_MIN_INTEGER = -(2**63)
_MAX_INTEGER = 2**64 - 1

_decode = msgspec.json.Decoder().decode


class StrictJsonError(ValueError):
    """The bytes are not JSON that every component reads alike."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def decode(text: bytes) -> Any:
    """The value of a JSON text, read strictly. Raises: StrictJsonError."""
    document = decode_syntax(text)
    assure_unambiguous(text, document)
    return document


def decode_syntax(text: bytes) -> Any:
    """The value of a JSON text; the caller must still call `assure_unambiguous`. Raises: StrictJsonError."""
    try:
        return _decode(text)
    except UnicodeDecodeError as error:
        raise StrictJsonError(Reason.INVALID_UTF8, f"byte {error.start} of a string is not valid UTF-8") from None
    except msgspec.ValidationError as error:
        raise StrictJsonError(Reason.NUMBER_OUT_OF_RANGE, str(error)[:200]) from None
    except msgspec.DecodeError as error:
        raise _syntax_error(text, error) from None
    except RecursionError:
        raise StrictJsonError(Reason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels") from None


def assure_unambiguous(text: bytes, document: Any) -> None:
    """Returns when keys are unique and numbers and depth are within bounds. Raises: StrictJsonError."""
    key_count, colon_count = _measure(document)
    written_colon_count = text.count(b":")
    if written_colon_count == key_count:
        return  # every colon belongs to a distinct key
    if b"\\" not in text:
        if written_colon_count > key_count + colon_count:
            raise StrictJsonError(Reason.DUPLICATE_KEY, "a key is written twice in one object")
        return
    _parse_slowly(text)


def _measure(document: Any) -> tuple[int, int]:
    """(keys, colons inside strings) of a decoded value. Raises: StrictJsonError on depth and integer size."""
    key_count = colon_count = depth = 0
    level: list[Any] = [document]
    while level:
        depth += 1
        below: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is str:
                colon_count += value.count(":")
            elif kind is dict:
                key_count += len(value)
                for key in value:
                    if ":" in key:
                        colon_count += key.count(":")
                below.extend(value.values())
            elif kind is list:
                below.extend(value)
            elif kind is int and not _MIN_INTEGER <= value <= _MAX_INTEGER:
                raise StrictJsonError(Reason.NUMBER_OUT_OF_RANGE, "an integer does not fit into 64 bits")
        # Scalars do not nest: a level that holds only scalars is not one more level of containers.
        if below and depth > MAX_DEPTH:
            raise StrictJsonError(Reason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels")
        level = below
    return key_count, colon_count


def _parse_slowly(text: bytes) -> None:
    try:
        json.loads(text.decode(), object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise StrictJsonError(Reason.INVALID_UTF8, "not valid UTF-8") from None
    except RecursionError:
        raise StrictJsonError(Reason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels") from None


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise StrictJsonError(Reason.DUPLICATE_KEY, "a key is written twice in one object")


def _refuse_constant(_constant: str) -> NoReturn:
    raise StrictJsonError(Reason.NOT_FINITE_NUMBER, "NaN and infinities are not JSON")


def _syntax_error(text: bytes, error: msgspec.DecodeError) -> StrictJsonError:
    """The most telling reason for a text that msgspec refused: the standard parser accepts NaN and lone surrogates."""
    try:
        json.loads(text.decode(), parse_constant=_refuse_constant)
    except StrictJsonError as named:
        return named
    except UnicodeDecodeError:
        return StrictJsonError(Reason.INVALID_UTF8, "not valid UTF-8")
    except (ValueError, RecursionError):
        return StrictJsonError(Reason.MALFORMED_JSON, str(error)[:200])
    return StrictJsonError(Reason.MALFORMED_JSON, "a string holds half of a surrogate pair")
