"""The kinds of field that several contracts share.

Bounds are JSON Schema's; where it has no word, two of our own: `x-unit`, and `x-pii`, where `identifier` names a person within an app and
`personal` tells something about one. Lengths are in characters.
"""

import hashlib
from typing import Annotated, Final

from msgspec import Meta

IDENTIFIER: Final = {"x-pii": "identifier"}
PERSONAL: Final = {"x-pii": "personal"}
MAX_USER_ID_LENGTH: Final = 100
USER_ID_MEANING: Final = (
    "Who did it: the application's own id of the user. Without surrounding white space it has 1 to 100 characters."
)
MAX_EVENT_ID_LENGTH: Final = 200
# What trimming removes. ASCII only, so that SQL can mirror it exactly: trim(user_id, E' \t\n\r\x0b\x0c').
TRIMMED_CHARACTERS: Final = " \t\n\r\x0b\x0c"

EventId = Annotated[
    str, Meta(min_length=1, max_length=200, description="The client's id of the event: copies of it count once.")
]
UserId = Annotated[str, Meta(min_length=1, description=USER_ID_MEANING, extra_json_schema=IDENTIFIER)]
Timestamp = Annotated[
    str | int | float,
    Meta(description="RFC 3339 (no zone means UTC), or an epoch number: seconds up to 2e10, milliseconds above."),
]
Rfc3339 = Annotated[str, Meta(description="RFC 3339, with a zone.", extra_json_schema={"format": "date-time"})]
Milliseconds = Annotated[
    int, Meta(description="Milliseconds since 1970-01-01 UTC.", extra_json_schema={"x-unit": "ms"})
]
Key = Annotated[str, Meta(min_length=1, max_length=100)]
ShortText = Annotated[str, Meta(max_length=100)]


def first_filled(*texts: str | None) -> str:
    """The first text that is more than white space, trimmed and short enough for a user id; empty where there is none."""
    for text in texts:
        trimmed = text.strip(TRIMMED_CHARACTERS) if text is not None else ""
        if trimmed:
            return shortened(trimmed, MAX_USER_ID_LENGTH)
    return ""


def shortened(text: str, max_length: int) -> str:
    """The text; a longer one as its beginning and the MD5 of all of it, so that different texts stay different."""
    if len(text) <= max_length:
        return text
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return f"{text[: max_length - len(digest) - 1]}~{digest}"
