"""The cloudevent contract: an event of CloudEvents 1.0 in its JSON format, by the rules of the specification.

Source and id together name the event, so both are in its id. The user is the `subject`, else the `source`. Holds the rules of the
JSON form; what HTTP adds (headers, content types) is the edge's.
"""

from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from ingestion.contracts.clocks import parse_timestamp
from ingestion.contracts.fields import IDENTIFIER, MAX_EVENT_ID_LENGTH, Rfc3339, first_filled, shortened
from ingestion.contracts.rules import FreeFields, Matches, Rule, check

CONTRACT = "cloudevent/1"
TYPE_FIELDS: Final = ("type",)
ACTOR_FIELDS: Final = ("subject", "source")

# Section "Type System": neither control characters nor what Unicode calls noncharacters.
_NONCHARACTERS = r"\ufdd0-\ufdef\ufffe\uffff" + "".join(
    rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(1, 17)
)
_TEXT = rf"[^\x00-\x1f\x7f-\x9f{_NONCHARACTERS}]"
# RFC 3986, appendix A. A host in brackets is looked at no closer than by its characters.
_PCHAR = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f][0-9A-Fa-f])"
_PCHAR_WITHOUT_COLON = r"(?:[A-Za-z0-9._~!$&'()*+,;=@-]|%[0-9A-Fa-f][0-9A-Fa-f])"
_USER_INFO = r"(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f][0-9A-Fa-f])*@"
_HOST = r"(?:\[[A-Za-z0-9._~!$&'()*+,;=:-]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f][0-9A-Fa-f])*)"
_ROOTED = rf"//(?:{_USER_INFO})?{_HOST}(?::[0-9]*)?(?:/{_PCHAR}*)*|/(?:{_PCHAR}+(?:/{_PCHAR}*)*)?"
_QUERY = rf"(?:\?(?:{_PCHAR}|[/?])*)?"
_FRAGMENT = rf"(?:#(?:{_PCHAR}|[/?])*)?"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*:"
_ABSOLUTE_URI = rf"{_SCHEME}(?:{_ROOTED}|{_PCHAR}+(?:/{_PCHAR}*)*)?{_QUERY}"
_RELATIVE = rf"(?:{_ROOTED}|{_PCHAR_WITHOUT_COLON}+(?:/{_PCHAR}*)*)?{_QUERY}"
_URI_REFERENCE = rf"(?:{_ABSOLUTE_URI}|{_RELATIVE}){_FRAGMENT}"
# RFC 2045, section 5.1, which RFC 2046 rests on.
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
MEDIA_TYPE: Final = rf'{_WORD}/{_WORD}(?:[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|"(?:[^"\\]|\\.)*"))*'
_RFC_3339 = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.][0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
_BASE_64 = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"

Text = Annotated[str, Meta(min_length=1)]


class CloudEvent(msgspec.Struct, gc=False):
    """One event. `data` and `data_base64` exclude each other; any other name is an extension's: a-z and 0-9, with a simple value."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Matches(("id",), _TEXT + "+", "a text without control characters"),
        Matches(("source",), _URI_REFERENCE, "a URI-reference (RFC 3986)"),
        Matches(("type",), _TEXT + "+", "a text without control characters"),
        Matches(("subject",), _TEXT + "+", "a text without control characters"),
        Matches(("time",), _RFC_3339, "an RFC 3339 time with a zone"),
        Matches(("datacontenttype",), MEDIA_TYPE, "a media type (RFC 2046)"),
        Matches(("dataschema",), _ABSOLUTE_URI, "an absolute URI without a fragment (RFC 3986, 4.3)"),
        Matches(("data_base64",), _BASE_64, "Base64 (RFC 4648)"),
    )

    specversion: Annotated[Literal["1.0"], Meta(description="The version of the specification.")]
    id: Annotated[Text, Meta(description="The event's id within its source.")]
    source: Annotated[Text, Meta(description="URI-reference. Names the event together with id.")]
    type: Annotated[str, Meta(min_length=1, max_length=255, description="The event's type.")]
    subject: Annotated[
        Annotated[Text, Meta(extra_json_schema=IDENTIFIER)] | None,
        Meta(description="Whom or what it is about: silver's user."),
    ] = None
    time: Annotated[Rfc3339 | None, Meta(description="When it happened, with a zone.")] = None
    datacontenttype: Annotated[Text | None, Meta(description="A media type; without it data is JSON.")] = None
    dataschema: Annotated[Text | None, Meta(description="Absolute URI.")] = None
    data: Annotated[Any, Meta(description="Any JSON value, null too.")] = None
    data_base64: Annotated[str | None, Meta(description="Bytes in Base64, in place of data.")] = None

    def __post_init__(self) -> None:
        """Raises: ValueError when a field breaks the specification."""
        check(self, self.RULES)

    @property
    def event_id(self) -> str:
        """Source and id: no source has a space, so different pairs stay different."""
        return shortened(f"{self.source} {self.id}", MAX_EVENT_ID_LENGTH)

    @property
    def event_type(self) -> str:
        """The type."""
        return self.type

    @property
    def user_id(self) -> str:
        """The subject, else the source."""
        return first_filled(self.subject, self.source)

    def occurred_at(self) -> str | None:
        """Canonical text, None when the event carries no time. Raises: TimestampError."""
        return None if self.time is None else parse_timestamp(self.time)


EXTENSIONS: Final = FreeFields(
    frozenset(CloudEvent.__struct_fields__), "[a-z0-9]+", _TEXT + "*", ("data", "data_base64")
)
