"""The segment contract: a call of the Segment HTTP API, one item as the libraries send it.

The user is `userId`, else `anonymousId`; the event's type is its `event` where it has one (a track call's name), else the call's.
When it occurred cannot be told from the item alone: the receiver corrects the client's clock (`corrected_time`).
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from ingestion.contracts.clocks import TimestampError, format_utc, parse_timestamp
from ingestion.contracts.fields import IDENTIFIER, PERSONAL, EventId, Timestamp, first_filled
from ingestion.contracts.rules import AnyOf, NeedsWhere, Rule, check

CONTRACT = "segment/1"
ID_FIELD: Final = "messageId"
TYPE_FIELDS: Final = ("event", "type")
ACTOR_FIELDS: Final = ("userId", "anonymousId")

Call = Literal["track", "identify", "page", "screen", "group", "alias"]
Id = Annotated[str, Meta(max_length=1000, extra_json_schema=IDENTIFIER)]
PersonalObject = Annotated[dict[str, Any], Meta(extra_json_schema=PERSONAL)]


class SegmentCall(msgspec.Struct, gc=False, rename="camel"):
    """One call. `userId` or `anonymousId` is required; a track call names its event, a group call its group, an alias both ids."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        AnyOf(("userId", "anonymousId")),
        NeedsWhere(("type", "event"), "track"),
        NeedsWhere(("type", "groupId"), "group"),
        NeedsWhere(("type", "previousId"), "alias"),
        NeedsWhere(("type", "userId"), "alias"),
    )

    type: Annotated[Call, Meta(description="Written into the item where only the address says it.")]
    message_id: Annotated[EventId | None, Meta(description="The event's id: copies of it count once.")] = None
    known_id: Annotated[Id | None, Meta(description="The user's id.")] = msgspec.field(name="userId", default=None)
    anonymous_id: Annotated[Id | None, Meta(description="The user's id before it is known.")] = None
    event: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200)] | None, Meta(description="What happened; the event's type.")
    ] = None
    group_id: Annotated[
        Annotated[str, Meta(max_length=1000)] | None, Meta(description="The group that a group call is about.")
    ] = None
    previous_id: Annotated[Id | None, Meta(description="The id that an alias call joins to userId.")] = None
    properties: Annotated[dict[str, Any] | None, Meta(description="What else is known of what happened.")] = None
    traits: Annotated[PersonalObject | None, Meta(description="What is known of the user or the group.")] = None
    context: Annotated[
        PersonalObject | None, Meta(description="Where and on what it happened, as the library says.")
    ] = None
    timestamp: Annotated[Timestamp | None, Meta(description="When it happened, by the client's clock.")] = None
    original_timestamp: Annotated[Timestamp | None, Meta(description="Beats timestamp.")] = None
    sent_at: Annotated[Timestamp | None, Meta(description="When it was sent, by the client's clock.")] = None

    def __post_init__(self) -> None:
        """Raises: ValueError when fields do not fit together."""
        check(self, self.RULES)

    @property
    def event_id(self) -> str | None:
        """The message's id."""
        return self.message_id

    @property
    def event_type(self) -> str:
        """The name of what was tracked, else the call's."""
        return self.event if self.event is not None else self.type

    @property
    def user_id(self) -> str:
        """Empty when both ids are blank."""
        return first_filled(self.known_id, self.anonymous_id)

    def occurred_at(self) -> str | None:
        """Canonical text by the client's own clock, None when the item carries no time. Raises: TimestampError."""
        times = [None if value is None else parse_timestamp(value) for value in self._times()]
        return times[0] if times[0] is not None else times[1]

    def _times(self) -> tuple[str | int | float | None, ...]:
        return self.original_timestamp, self.timestamp, self.sent_at


def corrected_time(call: SegmentCall, sent_at: str | None, received_at: datetime) -> str | None:
    """When a call occurred, by the receiver's clock: received - (sent - occurred), both of the latter by the client's clock.

    `sent_at` is the batch's, canonical; the item's own beats it. Without it the client's clock is believed.
    Raises: TimestampError.
    """
    occurred_at = call.occurred_at()
    sent_at = parse_timestamp(call.sent_at) if call.sent_at is not None else sent_at
    if occurred_at is None or sent_at is None:
        return occurred_at
    try:
        age = datetime.fromisoformat(sent_at) - datetime.fromisoformat(occurred_at)
        return format_utc(received_at - age)
    except OverflowError:
        raise TimestampError("sentAt and timestamp lie too far apart") from None
