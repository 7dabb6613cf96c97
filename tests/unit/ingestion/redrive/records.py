"""Quarantined records with overrides."""

from datetime import UTC, datetime
from typing import Any

from ingestion.contracts.quarantine import Coordinates, QuarantinedRecord
from ingestion.contracts.topics import DEAD_LETTER_TOPIC
from tests.unit.ingestion.builders import encode

RECEIVED_AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def letter(offset: int = 0, body: Any = b"{", **changes: Any) -> QuarantinedRecord:
    """A dead letter of the edge; a body that is no bytes is encoded."""
    fields: dict[str, Any] = {
        "coordinates": Coordinates(DEAD_LETTER_TOPIC, 0, offset),
        "app_id": "shop",
        "stage": "edge",
        "reason": "missing_field",
        "received_at": RECEIVED_AT,
        "value": body if isinstance(body, bytes) else encode(body),
        **changes,
    }
    return QuarantinedRecord(**fields)
