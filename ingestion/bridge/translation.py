"""From a record of the downloads topic to the record that is landed, or to a dead letter. Pure but for what the decoder has learnt.

The record's Kafka timestamp is its received_at, and its event id is the client's: a record that is read twice becomes the same record
twice, which counts once.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from ingestion.contracts.families import Family, only
from ingestion.contracts.reasons import Reason
from ingestion.contracts.topics import MAX_VALUE_SIZE_BYTES
from ingestion.contracts.validation import Rejection, Validator, ValidEvent, Verdict
from ingestion.schema_registry.decoding import AvroDecoder, AvroJudge
from ingestion.sinks.records import OutgoingRecord, Stamper


@dataclass(frozen=True)
class Incoming:
    """A record of the downloads topic."""

    partition: int
    offset: int
    value: bytes
    timestamp_milliseconds: int

    @property
    def received_at(self) -> datetime:
        """When the broker took it."""
        return datetime.fromtimestamp(self.timestamp_milliseconds / 1000, UTC)


class Translator:
    """Judges downloads of one app."""

    def __init__(
        self, decoder: AvroDecoder, app_id: str, *, first_day: date, live_topic: str, dead_letter_topic: str
    ) -> None:
        self.decoder = decoder
        self.app_id = app_id
        self.live_topic = live_topic
        self.dead_letter_topic = dead_letter_topic
        self._first_day = first_day
        self._rule = only(Family.DOWNLOAD)

    def translate(self, incoming: Incoming) -> OutgoingRecord:
        """The record to produce. Its schema must have been learnt."""
        received_at, value = incoming.received_at, incoming.value
        stamper = Stamper(self.app_id, received_at, topic=self.live_topic, dead_letter_topic=self.dead_letter_topic)
        verdict = self._judge(value, received_at)
        if isinstance(verdict, ValidEvent):
            assert verdict.event_id is not None, "the contract asks for an event id"
            return stamper.stamp(value, verdict, verdict.event_id)
        return stamper.dead_letter(value, verdict)

    def _judge(self, value: bytes, received_at: datetime) -> Verdict:
        if not value:
            return Rejection(Reason.EMPTY_VALUE, "the record has no value")
        if len(value) > MAX_VALUE_SIZE_BYTES:
            return Rejection(Reason.BODY_TOO_LARGE, f"larger than {MAX_VALUE_SIZE_BYTES} bytes; its beginning is kept")
        return AvroJudge(Validator(received_at, self._first_day), self.decoder).judge(value, self._rule)
