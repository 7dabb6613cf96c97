"""The kinds of field that several contracts share.

Bounds are JSON Schema's; where it has no word, two of our own: `x-unit`, and `x-pii`, where `identifier` names a person within an app and
`personal` tells something about one. Lengths are in characters.
"""

from typing import Annotated, Final

from msgspec import Meta

IDENTIFIER: Final = {"x-pii": "identifier"}
PERSONAL: Final = {"x-pii": "personal"}
MAX_USER_ID_LENGTH: Final = 100
USER_ID_MEANING: Final = (
    "Who did it: the application's own id of the user. Without surrounding white space it has 1 to 100 characters."
)

EventId = Annotated[
    str, Meta(min_length=1, max_length=200, description="The client's id of the event: copies of it count once.")
]
UserId = Annotated[str, Meta(min_length=1, description=USER_ID_MEANING, extra_json_schema=IDENTIFIER)]
Timestamp = Annotated[
    str | int | float,
    Meta(description="RFC 3339 (no zone means UTC), or an epoch number: seconds up to 2e10, milliseconds above."),
]
Milliseconds = Annotated[
    int, Meta(description="Milliseconds since 1970-01-01 UTC.", extra_json_schema={"x-unit": "ms"})
]
Key = Annotated[str, Meta(min_length=1, max_length=100)]
ShortText = Annotated[str, Meta(max_length=100)]
