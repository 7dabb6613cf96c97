"""Settlement: is everything that Kafka holds now published? Used by `tidemark settle`; reads, never writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from storage.bronze import landed_offsets, latest_version
from storage.control.hours import list_dirty, read_cursor
from storage.settings import StorageSettings

GROUP_TIMEOUT_MILLISECONDS = 30_000
EndOffsets = dict[str, dict[int, int]]


@dataclass(frozen=True)
class Target:
    """What must be published: everything below these end offsets, by topic and partition."""

    end_offsets: EndOffsets


@dataclass(frozen=True)
class InletTarget:
    """What the consumer group of an inlet must have moved: everything of the topic below these end offsets, by partition."""

    topic: str
    group_id: str
    end_offsets: dict[int, int]


@dataclass(frozen=True)
class Settlement:
    """`settled`, or what is waited for. `landed_version` is a bronze version that holds the whole target, once there is one."""

    settled: bool
    waiting_for: str
    landed_version: int | None = None


def read_end_offsets(settings: StorageSettings, topics: tuple[str, ...]) -> EndOffsets:
    """The offsets one past the last record of every partition, now."""
    with _consumer(settings) as consumer:
        partitions = consumer.places(*topics)
        ends: EndOffsets = {}
        for partition, offset in consumer.end_offsets(partitions).items():
            ends.setdefault(partition.topic, {})[partition.partition] = offset
        return ends


def read_inlet(settings: StorageSettings, topic: str, group_id: str) -> InletTarget:
    """What an inlet holds now. One that does not exist holds nothing."""
    return InletTarget(topic, group_id, read_end_offsets(settings, (topic,)).get(topic, {}))


def count_unmoved(settings: StorageSettings, target: InletTarget) -> int:
    """Offsets below the target that the group has not committed. It commits once their records are where they belong."""
    from kafka import TopicPartition

    with _consumer(settings, target.group_id) as consumer:
        places = {TopicPartition(target.topic, partition): end for partition, end in target.end_offsets.items()}
        starts = consumer.beginning_offsets(list(places)) if places else {}
        moved = {
            place: max(starts[place], consumer.committed(place, timeout_ms=GROUP_TIMEOUT_MILLISECONDS) or 0)
            for place in places
        }
    return sum(max(0, end - moved[place]) for place, end in places.items())


@contextmanager
def _consumer(settings: StorageSettings, group_id: str | None = None) -> Iterator[Any]:  # kafka-python has no types
    """Subscribes to nothing, so it joins no group: with a group's id it may ask for its offsets."""
    from runtime.kafka_clients import Consumer

    servers = settings.kafka_bootstrap_servers.split(",")
    consumer = Consumer(bootstrap_servers=servers, enable_auto_commit=False, group_id=group_id)
    try:
        yield consumer
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
    if cursor is None or cursor < landed_version or cursor > (latest_version(settings) or 0):
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
