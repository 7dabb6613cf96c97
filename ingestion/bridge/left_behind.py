"""Downloads that an earlier name of the topic still holds: nobody would move them on once the bridge reads another. Reads only."""

from runtime.kafka_clients import AdminClient, Consumer

_TIMEOUT_MILLISECONDS = 3_000


def count_left_behind(bootstrap_servers: str, topic: str, group_id: str) -> dict[str, int]:
    """Records by topic, other than `topic`, that the group has begun to read and not finished. A topic that is gone has none.

    Raises: KafkaError when the broker does not answer, or cannot yet say where the group is.
    """
    config = {"bootstrap_servers": bootstrap_servers.split(","), "bootstrap_timeout_ms": _TIMEOUT_MILLISECONDS}
    admin = AdminClient(**config)
    try:
        read = admin.list_group_offsets({group_id: None})[group_id]
    finally:
        admin.close()
    consumer = Consumer(enable_auto_commit=False, **config)
    try:
        existing = consumer.topics()
        others = [place for place in read if place.topic != topic and place.topic in existing]
        starts = consumer.beginning_offsets(others) if others else {}
        ends = consumer.end_offsets(others) if others else {}
    finally:
        consumer.close()
    counts: dict[str, int] = {}
    for place in others:
        # Negative where the group has joined and committed nothing.
        left = ends[place] - max(starts[place], read[place].offset)
        counts[place.topic] = counts.get(place.topic, 0) + max(0, left)
    return {name: count for name, count in counts.items() if count}


def describe_left_behind(counts: dict[str, int], topic: str) -> str:
    """What to do about them, in one line."""
    held = ", ".join(f"{name} holds {count}" for name, count in sorted(counts.items()))
    return (
        f"TIDEMARK_KAFKA_DOWNLOADS_TOPIC is {topic}, but downloads of before have not been moved on: {held}; "
        f"set TIDEMARK_KAFKA_DOWNLOADS_TOPIC={min(counts)} until the bridge has read them, then change it"
    )
