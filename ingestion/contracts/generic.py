"""The generic contract (S2): any event type with a free payload object.

Holds the shape only. The payload's inside is bounded only by the strict JSON rules and the record size.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ingestion.contracts.engagement import EventId, Timestamp

CONTRACT = "generic/1"


class GenericEvent(msgspec.Struct, gc=False):
    """One event of any type. `user_id` is trimmed and must keep 1 to 100 characters."""

    event_type: Annotated[str, Meta(min_length=1, max_length=100)]
    user_id: Annotated[str, Meta(min_length=1, description="1 to 100 characters after trimming.")]
    payload: dict[str, Any]
    event_id: EventId | None = None
    timestamp: Timestamp | None = None
