"""The generic contract (S2): any event type with a free payload object.

Holds the shape only. The payload's inside is bounded only by the strict JSON rules and the record size.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ingestion.contracts.clocks import parse_timestamp
from ingestion.contracts.fields import EventId, Timestamp, UserId

CONTRACT = "generic/1"


class GenericEvent(msgspec.Struct, gc=False):
    """One event of any type. `user_id` is trimmed and must keep 1 to 100 characters."""

    event_type: Annotated[str, Meta(min_length=1, max_length=100, description="What happened, the client's own name.")]
    user_id: UserId
    payload: Annotated[dict[str, Any], Meta(description="Whatever belongs to it.")]
    event_id: EventId | None = None
    timestamp: Timestamp | None = None

    def occurred_at(self) -> str | None:
        """Canonical text, None when the event carries no time. Raises: TimestampError."""
        return None if self.timestamp is None else parse_timestamp(self.timestamp)
