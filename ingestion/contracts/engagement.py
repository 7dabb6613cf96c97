"""The engagement contract (S0): somebody clicked, liked, commented on, shared or viewed content.

Holds the shape only. Lengths are in characters; unknown fields are kept in the raw bytes and ignored here.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

CONTRACT = "engagement/1"

EngagementType = Literal["click", "like", "comment", "share", "view"]
Platform = Literal["web", "ios", "android", "mobile_web"]

EventId = Annotated[str, Meta(min_length=1, max_length=200)]
ContentId = Annotated[str, Meta(max_length=100)]
SessionId = Annotated[str, Meta(max_length=100)]
DeviceType = Annotated[str, Meta(max_length=50)]
Location = Annotated[str, Meta(max_length=100)]
MetadataValue = Annotated[str, Meta(max_length=1000)]
Timestamp = Annotated[
    str | int | float,
    Meta(description="RFC 3339 (no zone means UTC), or an epoch number: seconds up to 2e10, milliseconds above."),
]


class EngagementEvent(msgspec.Struct, gc=False):
    """One engagement. `user_id` is trimmed and must keep 1 to 100 characters."""

    event_type: EngagementType
    user_id: Annotated[str, Meta(min_length=1, description="1 to 100 characters after trimming.")]
    platform: Platform
    event_id: EventId | None = None
    content_id: ContentId | None = None
    timestamp: Timestamp | None = None
    session_id: SessionId | None = None
    device_type: DeviceType | None = None
    location: Location | None = None
    metadata: dict[str, MetadataValue] | None = None
