"""The engagement contract (S0): somebody clicked, liked, commented on, shared or viewed content.

Holds the shape only. Lengths are in characters; unknown fields are kept in the raw bytes and ignored here.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ingestion.contracts.clocks import parse_timestamp
from ingestion.contracts.fields import PERSONAL, EventId, ShortText, Timestamp, UserId

CONTRACT = "engagement/1"

EngagementType = Literal["click", "like", "comment", "share", "view"]
Platform = Literal["web", "ios", "android", "mobile_web"]

MetadataValue = Annotated[str, Meta(max_length=1000)]


class EngagementEvent(msgspec.Struct, gc=False):
    """One engagement. `user_id` is trimmed and must keep 1 to 100 characters."""

    event_type: Annotated[EngagementType, Meta(description="What happened.")]
    user_id: UserId
    platform: Annotated[Platform, Meta(description="Where the user was.")]
    event_id: EventId | None = None
    content_id: Annotated[ShortText, Meta(description="What it is about, an id of the application's own.")] | None = (
        None
    )
    timestamp: Timestamp | None = None
    session_id: (
        Annotated[ShortText, Meta(description="The visit during which it happened, an id of the application's own.")]
        | None
    ) = None
    device_type: Annotated[str, Meta(max_length=50, description="Kind of device, free text.")] | None = None
    location: (
        Annotated[str, Meta(max_length=100, description="Place, free text.", extra_json_schema=PERSONAL)] | None
    ) = None
    metadata: (
        Annotated[dict[str, MetadataValue], Meta(description="Whatever else the client says, an object of strings.")]
        | None
    ) = None

    def occurred_at(self) -> str | None:
        """Canonical text, None when the event carries no time. Raises: TimestampError."""
        return None if self.timestamp is None else parse_timestamp(self.timestamp)
