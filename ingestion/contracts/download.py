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

    content_id: Annotated[Key, Meta(description="An id of the application's own.")]
    title: Annotated[str, Meta(max_length=300, description="Its name for people.")]
    type: Annotated[ShortText, Meta(description="Kind of content, such as video.")]
    category: Annotated[ShortText, Meta(description="Its subject.")]
    size_mb: Annotated[float, Meta(ge=0, description="Size of the whole.", extra_json_schema={"x-unit": "MiB"})]
    price: Annotated[float, Meta(ge=0, description="In the shop's currency.")]


class Download(msgspec.Struct, gc=False):
    """How it went."""

    status: Annotated[Literal["success", "failed", "cancelled"], Meta(description="How it ended.")]
    duration_seconds: Annotated[
        float, Meta(ge=0, description="From its start to its end.", extra_json_schema={"x-unit": "s"})
    ]
    speed_mbps: Annotated[float, Meta(ge=0, description="Mean speed.", extra_json_schema={"x-unit": "Mbit/s"})]
    error_code: Annotated[ShortText, Meta(description="Why it failed, for machines.")] | None = None
    error_message: Annotated[str, Meta(max_length=1000, description="Why it failed, for people.")] | None = None


class UserContext(msgspec.Struct, gc=False):
    """Where and on what."""

    region: Annotated[ShortText, Meta(description="Part of the world.")]
    city: Annotated[str, Meta(max_length=100, description="City of the user.", extra_json_schema=PERSONAL)]
    device: Annotated[ShortText, Meta(description="Kind of device.")]
    os_version: Annotated[ShortText, Meta(description="Version of its operating system.")]
    connection_type: Annotated[ShortText, Meta(description="Kind of connection, such as wifi.")]


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
