"""Settlement: is everything that Kafka holds now published? Used by `tidemark settle`; reads, never writes."""

from dataclasses import dataclass

from sqlalchemy import Engine

from storage.bronze import landed_offsets, latest_version
from storage.control.hours import list_dirty, read_cursor
from storage.settings import StorageSettings

EndOffsets = dict[str, dict[int, int]]


@dataclass(frozen=True)
class Target:
    """What must be published: everything below these end offsets, by topic and partition."""

    end_offsets: EndOffsets


@dataclass(frozen=True)
class Settlement:
    """`settled`, or what is waited for. `landed_version` is a bronze version that holds the whole target, once there is one."""

    settled: bool
    waiting_for: str
    landed_version: int | None = None


def read_end_offsets(settings: StorageSettings, topics: tuple[str, ...]) -> EndOffsets:
    """The offsets one past the last record of every partition, now."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=settings.kafka_bootstrap_servers.split(","), enable_auto_commit=False)
    try:
        partitions = [
            TopicPartition(topic, partition)
            for topic in topics
            for partition in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        ends: EndOffsets = {}
        for partition, offset in consumer.end_offsets(partitions).items():
            ends.setdefault(partition.topic, {})[partition.partition] = offset
        return ends
    finally:
        consumer.close()


def check(settings: StorageSettings, engine: Engine, target: Target, landed_version: int | None = None) -> Settlement:
    """One look. Pass the `landed_version` of an earlier look back in: the target's place in bronze does not change."""
    if landed_version is None:
        missing = _not_landed(target, landed_offsets(settings))
        if missing:
            return Settlement(False, f"{missing} records to land in bronze")
        landed_version = latest_version(settings)
        if landed_version is None:
            return Settlement(True, "")
    cursor = read_cursor(engine)
    if cursor is None or cursor < landed_version:
        return Settlement(False, "the arrivals sensor to see the newest commits", landed_version)
    dirty = [hour for hour in list_dirty(engine) if hour.dirty_since_version <= landed_version]
    if dirty:
        blocked = [hour for hour in dirty if hour.blocked_by]
        reason = f"{len(dirty)} hours to publish, {dirty[0].hour:%Y-%m-%d %H:00} first"
        if blocked:
            reason += f"; hour {blocked[0].hour:%Y-%m-%d %H:00} blocked by {blocked[0].blocked_by}"
        return Settlement(False, reason, landed_version)
    return Settlement(True, "", landed_version)


def _not_landed(target: Target, landed: EndOffsets) -> int:
    return sum(
        max(0, end - (landed.get(topic, {}).get(partition, -1) + 1))
        for topic, partitions in target.end_offsets.items()
        for partition, end in partitions.items()
    )
