"""The download contract (S4): somebody downloaded content, or tried to. Every event is of the type `download`."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ingestion.contracts.clocks import parse_milliseconds
from ingestion.contracts.fields import PERSONAL, EventId, Key, Milliseconds, ShortText, UserId

CONTRACT = "download/1"
EVENT_TYPE = "download"


class Content(msgspec.Struct, gc=False):
    """What was downloaded."""

    content_id: Key
    title: Annotated[str, Meta(max_length=300)]
    type: ShortText
    category: ShortText
    size_mb: Annotated[float, Meta(ge=0, extra_json_schema={"x-unit": "MiB"})]
    price: Annotated[float, Meta(ge=0, description="In the shop's currency.")]


class Download(msgspec.Struct, gc=False):
    """How it went."""

    status: Literal["success", "failed", "cancelled"]
    duration_seconds: Annotated[float, Meta(ge=0, extra_json_schema={"x-unit": "s"})]
    speed_mbps: Annotated[float, Meta(ge=0, extra_json_schema={"x-unit": "Mbit/s"})]
    error_code: ShortText | None = None
    error_message: Annotated[str, Meta(max_length=1000)] | None = None


class UserContext(msgspec.Struct, gc=False):
    """Where and on what."""

    region: ShortText
    city: Annotated[str, Meta(max_length=100, extra_json_schema=PERSONAL)]
    device: ShortText
    os_version: ShortText
    connection_type: ShortText


class DownloadEvent(msgspec.Struct, gc=False):
    """One download."""

    event_id: EventId
    timestamp: Milliseconds
    user_id: UserId
    content: Content
    download: Download
    user_context: UserContext

    @property
    def event_type(self) -> str:
        """Always the same."""
        return EVENT_TYPE

    def occurred_at(self) -> str | None:
        """Canonical text. Raises: TimestampError."""
        return parse_milliseconds(self.timestamp)
