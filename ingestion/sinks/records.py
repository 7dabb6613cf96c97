"""Kafka records as the platform writes them: the event's bytes as sent, the stamps as headers.

Builds records only; judging events is the contracts' work and sending them the sink's.
"""

import os
from datetime import datetime

import msgspec

from ingestion.contracts import engagement, headers
from ingestion.contracts.clocks import format_utc
from ingestion.contracts.engagement import EngagementEvent
from ingestion.contracts.validation import Rejection, ValidEvent

Header = tuple[str, str | bytes | None]

# A dead letter keeps this much of a value that is itself too large for a record.
DEAD_LETTER_VALUE_MAX_BYTES = 1024 * 1024
DEAD_LETTER_MESSAGE_MAX_LENGTH = 500


class OutgoingRecord(msgspec.Struct, gc=False):
    """One record to produce."""

    topic: str
    key: bytes | None
    value: bytes
    headers: list[Header]


def new_event_ids(count: int, received_at: datetime) -> list[str]:
    """Fresh UUIDs of version 7: they sort by time of receipt. One read of the system's randomness for all of them."""
    milliseconds = f"{int(received_at.timestamp() * 1000) & 0xFFFFFFFFFFFF:012x}"
    prefix = f"{milliseconds[:8]}-{milliseconds[8:]}-7"
    random = os.urandom(10 * count).hex()
    return [
        f"{prefix}{random[at : at + 3]}-{'89ab'[int(random[at + 3], 16) & 3]}{random[at + 4 : at + 7]}-{random[at + 7 : at + 19]}"
        for at in range(0, 20 * count, 20)
    ]


class Stamper:
    """Makes the records of one request: everything received at one moment for one app."""

    def __init__(
        self,
        app_id: str,
        received_at: datetime,
        *,
        topic: str,
        dead_letter_topic: str,
        trace_parent: str | None = None,
    ) -> None:
        self._topic = topic
        self._dead_letter_topic = dead_letter_topic
        self.renew(format_utc(received_at))
        self._spec_version: Header = (headers.SPEC_VERSION, headers.SPEC_VERSION_VALUE)
        self._source: Header = (headers.SOURCE, app_id.encode())
        self._trace: list[Header] = [(headers.TRACE_PARENT, trace_parent.encode())] if trace_parent else []
        self._schemas: dict[str, Header] = {}
        self._engagement: Header = (headers.DATA_SCHEMA, engagement.CONTRACT.encode())

    def renew(self, received_text: str) -> None:
        """For the next request of the same app. `received_text`: canonical."""
        self._received_text = received_text
        self._received: Header = (headers.RECEIVED_AT, received_text.encode())

    def stamp_plain(self, raw: bytes, event: EngagementEvent, event_id: str) -> OutgoingRecord:
        """The record of a plain engagement (see ingestion.contracts.plain): what `stamp` makes of it, at less cost."""
        stamps: list[Header] = [
            self._spec_version,
            (headers.EVENT_ID, event_id),
            self._source,
            (headers.EVENT_TYPE, event.event_type),
            (headers.OCCURRED_AT, event.timestamp or self._received_text),  # type: ignore[list-item]  # text where it is plain
            self._engagement,
            self._received,
        ]
        if self._trace:
            stamps.extend(self._trace)
        return OutgoingRecord(self._topic, event.user_id.encode(), raw, stamps)

    def stamp(self, raw: bytes, event: ValidEvent, event_id: str) -> OutgoingRecord:
        """The record of a valid event."""
        schema = self._schemas.get(event.contract)
        if schema is None:
            schema = self._schemas[event.contract] = (headers.DATA_SCHEMA, event.contract.encode())
        stamps: list[Header] = [
            self._spec_version,
            (headers.EVENT_ID, event_id),
            self._source,
            (headers.EVENT_TYPE, event.event_type),
            (headers.OCCURRED_AT, event.occurred_at or self._received_text),
            schema,
            self._received,
        ]
        if self._trace:
            stamps.extend(self._trace)
        return OutgoingRecord(self._topic, event.user_id.encode(), raw, stamps)

    def dead_letter(self, raw: bytes, rejection: Rejection) -> OutgoingRecord:
        """The record that keeps a rejected event, with its reason and whatever is known of it."""
        stamps = [self._spec_version, self._source, self._received]
        if rejection.event_id is not None:
            stamps.append((headers.EVENT_ID, rejection.event_id))
        if rejection.event_type is not None:
            stamps.append((headers.EVENT_TYPE, rejection.event_type))
        stamps.append((headers.DEAD_LETTER_STAGE, headers.EDGE_STAGE))
        stamps.append((headers.DEAD_LETTER_REASON, rejection.reason.value.encode()))
        message = rejection.message[:DEAD_LETTER_MESSAGE_MAX_LENGTH]
        stamps.append((headers.DEAD_LETTER_MESSAGE, message.encode(errors="replace")))
        key = rejection.user_id.encode() if rejection.user_id is not None else None
        value = raw[:DEAD_LETTER_VALUE_MAX_BYTES] if len(raw) > DEAD_LETTER_VALUE_MAX_BYTES else raw
        return OutgoingRecord(self._dead_letter_topic, key, value, stamps + self._trace)
