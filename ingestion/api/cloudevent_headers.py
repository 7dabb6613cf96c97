"""HTTP headers of CloudEvents in binary mode: names, and values as section 3.1.3.2 of the HTTP binding encodes them. Pure."""

import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from ingestion.contracts.reasons import Reason

_PREFIX = "ce-"
# The content type says the first; the others are names of the JSON form, not of attributes.
_FORBIDDEN = ("datacontenttype", "data", "data_base64")
_PRINTABLE = re.compile(rb"[\x20-\x7e\t]*")
_ESCAPE = re.compile(r"\\(.)")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_JSON_SUBTYPE = re.compile(r"[^/]+/(?:[^/]+\+)?json")


class HeaderError(ValueError):
    """The headers are no attributes of a CloudEvent."""

    reason = Reason.INVALID_FIELD

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def attributes_of(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Attribute name → value, the content type as `datacontenttype`. Raises: HeaderError."""
    attributes: dict[str, str] = {}
    for raw_name, raw_value in headers:
        header = raw_name.decode("latin-1").lower()
        if header == "content-type":
            name, value = "datacontenttype", raw_value.decode("latin-1").strip()
        elif header.startswith(_PREFIX):
            name, value = header.removeprefix(_PREFIX), decoded_value(header, raw_value)
            if name in _FORBIDDEN:
                raise HeaderError(f"{header} must not be a header")
        else:
            continue
        if name in attributes:
            raise HeaderError(f"{header} is written twice")
        attributes[name] = value
    return attributes


def decoded_value(header: str, raw: bytes) -> str:
    """The text of a header's value: unquoted where it is a quoted string, then percent-decoded once. Raises: HeaderError."""
    if not _PRINTABLE.fullmatch(raw):
        raise HeaderError(f"{header} holds what is not printable ASCII and must be percent-encoded")
    text = raw.decode("ascii").strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = _ESCAPE.sub(r"\1", text[1:-1])
    if _STRAY_PERCENT.search(text):
        raise HeaderError(f"{header} holds a % that begins no percent-encoded byte")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise HeaderError(f"{header} is not UTF-8 once percent-decoded") from None


def media_type_of(content_type: str) -> str:
    """The media type without parameters, in small letters."""
    return content_type.partition(";")[0].strip().lower()


def charset_of(content_type: str) -> str | None:
    """The charset parameter in small letters, None when there is none."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return None


def is_json(content_type: str) -> bool:
    """True for */json and */*+json, whatever the parameters."""
    return _JSON_SUBTYPE.fullmatch(media_type_of(content_type)) is not None
