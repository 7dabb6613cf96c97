"""Where accepted events go: the sink protocol, Kafka, and a sink in memory for tests and dry runs."""

from ingestion.sinks.errors import QueueFullError, SinkUnavailableError
from ingestion.sinks.memory import DiscardingSink, InMemorySink
from ingestion.sinks.records import OutgoingRecord, Stamper
from ingestion.sinks.sink import Batch, EventSink, Outcome

__all__ = [
    "Batch",
    "DiscardingSink",
    "EventSink",
    "InMemorySink",
    "Outcome",
    "OutgoingRecord",
    "QueueFullError",
    "SinkUnavailableError",
    "Stamper",
]
