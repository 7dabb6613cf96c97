"""Downloads that an earlier name of the topic still holds: nobody would move them on once the bridge reads another. Reads only."""

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

_TIMEOUT_SECONDS = 10.0


def count_left_behind(bootstrap_servers: str, topic: str, group_id: str) -> dict[str, int]:
    """Records by topic, other than `topic`, that the group has begun to read and not finished. A topic that is gone has none.

    Raises: KafkaException when the broker does not answer.
    """
    config = {"bootstrap.servers": bootstrap_servers, "group.id": group_id, "log_level": 2}
    asked = AdminClient(config).list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group_id)], request_timeout=_TIMEOUT_SECONDS
    )
    places = [place for place in asked[group_id].result().topic_partitions or [] if place.topic != topic]
    consumer = Consumer(config, logger=None)
    try:
        existing = consumer.list_topics(timeout=_TIMEOUT_SECONDS).topics
        counts: dict[str, int] = {}
        for place in places:
            if place.topic in existing and place.partition in existing[place.topic].partitions:
                counts[place.topic] = counts.get(place.topic, 0) + _count_after(consumer, place)
    finally:
        consumer.close()
    return {name: count for name, count in counts.items() if count}


def _count_after(consumer: Consumer, place: TopicPartition) -> int:
    ends = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_SECONDS)
    if ends is None:
        raise KafkaException(f"{place.topic}/{place.partition} has no leader")
    return max(0, ends[1] - max(ends[0], place.offset))


def describe_left_behind(counts: dict[str, int], topic: str) -> str:
    """What to do about them, in one line."""
    held = ", ".join(f"{name} holds {count}" for name, count in sorted(counts.items()))
    return (
        f"TIDEMARK_KAFKA_DOWNLOADS_TOPIC is {topic}, but downloads of before have not been moved on: {held}; "
        f"set TIDEMARK_KAFKA_DOWNLOADS_TOPIC={min(counts)} until the bridge has read them, then change it"
    )
