"""The Kafka topics of the platform with the settings they are created with.

Holds names and settings only; whoever has a broker at hand creates them. The broker's clock stamps every record
(`LogAppendTime`), so that no producer can poison a watermark or a retention rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

LIVE_TOPIC = "events.raw.v1"
IMPORT_TOPIC = "events.import.v1"
DEAD_LETTER_TOPIC = "events.dlq.v1"
DOWNLOADS_TOPIC = "content-downloads"
DOWNLOADS_GROUP = "content-downloads-bridge"

PARTITION_COUNT = 4
MAX_RECORD_SIZE_BYTES = 2 * 1024 * 1024
# Leaves room for key, headers and the batch's own overhead.
MAX_VALUE_SIZE_BYTES = MAX_RECORD_SIZE_BYTES - 64 * 1024

_CONFIG: Mapping[str, str] = MappingProxyType(
    {
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "cleanup.policy": "delete",
        "max.message.bytes": str(MAX_RECORD_SIZE_BYTES),
        "compression.type": "producer",
    }
)


@dataclass(frozen=True)
class TopicSpec:
    """One topic as it must exist before anything is produced to it."""

    name: str
    partitions: int = PARTITION_COUNT
    config: Mapping[str, str] = field(default_factory=lambda: _CONFIG)


TOPICS: tuple[TopicSpec, ...] = (TopicSpec(LIVE_TOPIC), TopicSpec(IMPORT_TOPIC), TopicSpec(DEAD_LETTER_TOPIC))

INLETS: tuple[TopicSpec, ...] = (TopicSpec(DOWNLOADS_TOPIC),)
"""Topics that clients write to themselves. They are not landed: a bridge judges and stamps their records into those that are."""
