"""The client SDK: events from an application to the ingestion edge. Of the platform it needs the contracts only.

    client = EventClient("shop", "https://events.example.com", write_key="…")
    client.track("user_1", "page_view")

Users' documentation: docs/sdk.md. Everything public is named here.
"""

from ingestion.sdk.client import EventClient
from ingestion.sdk.errors import (
    AbandonedError,
    ClientClosedError,
    InvalidEventError,
    LostEventError,
    NotAcknowledgedError,
    QueueFullError,
    RefusedError,
    RejectedError,
    SDKDeliveryError,
    SDKError,
    SDKValidationError,
    SpoolError,
    SpoolLockedError,
    UnavailableError,
    UnknownVariantError,
)
from ingestion.sdk.events import Event
from ingestion.sdk.outbox import Stats
from ingestion.sdk.tuning import Tuning

__all__ = [
    "AbandonedError",
    "ClientClosedError",
    "Event",
    "EventClient",
    "InvalidEventError",
    "LostEventError",
    "NotAcknowledgedError",
    "QueueFullError",
    "RefusedError",
    "RejectedError",
    "SDKDeliveryError",
    "SDKError",
    "SDKValidationError",
    "SpoolError",
    "SpoolLockedError",
    "Stats",
    "Tuning",
    "UnavailableError",
    "UnknownVariantError",
]
