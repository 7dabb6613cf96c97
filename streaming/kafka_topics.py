"""What the broker says about topics: their ids, partitions and ends. Reads only; waits within a bound."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from kafka.errors import KafkaError

from runtime.kafka_clients import AdminClient, Consumer
from streaming.commit_metadata import Offsets
from streaming.errors import KafkaUnreachableError

RETRY_SECONDS = 1.0
CONNECT_TIMEOUT_MILLISECONDS = 3_000


@dataclass(frozen=True)
class TopicInfo:
    """A topic as it is now. A recreated topic has another id."""

    name: str
    topic_id: str
    partitions: tuple[int, ...]


def describe_topics(bootstrap_servers: str, topics: tuple[str, ...]) -> dict[str, TopicInfo]:
    """Those of `topics` that exist. Raises KafkaError while the broker does not answer."""
    admin = AdminClient(
        bootstrap_servers=bootstrap_servers.split(","), bootstrap_timeout_ms=CONNECT_TIMEOUT_MILLISECONDS
    )
    try:
        described = admin.describe_topics(list(topics))
    finally:
        admin.close()
    return {
        topic["name"]: TopicInfo(
            topic["name"], str(topic["topic_id"]), tuple(sorted(p["partition_index"] for p in topic["partitions"]))
        )
        for topic in described
        if topic["error_code"] == 0 and topic["partitions"]
    }


def wait_for_topics(
    bootstrap_servers: str,
    topics: tuple[str, ...],
    *,
    timeout_seconds: float,
    is_stopping: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, TopicInfo]:
    """All `topics`, once the broker answers and has them.

    Raises:
        KafkaUnreachableError: not within `timeout_seconds`, or a stop was asked for meanwhile.
    """
    deadline = clock() + timeout_seconds
    while True:
        try:
            found = describe_topics(bootstrap_servers, topics)
            missing = sorted(set(topics) - set(found))
            if not missing:
                return found
            reason = f"topics {', '.join(missing)} do not exist"
        except (KafkaError, OSError) as error:
            reason = f"{type(error).__name__}: {error}"
        if is_stopping() or clock() >= deadline:
            raise KafkaUnreachableError(f"Kafka at {bootstrap_servers} is not ready: {reason}")
        sleep(RETRY_SECONDS)


class EndOffsetReader:
    """Reads how far each topic reaches, over one connection that is made again after a failure."""

    def __init__(self, bootstrap_servers: str, topics: tuple[str, ...]) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._consumer: Consumer | None = None

    def read(self) -> Offsets:
        """One past the last record of every partition. Raises KafkaError when the broker does not answer."""
        try:
            if self._consumer is None:
                self._consumer = Consumer(
                    bootstrap_servers=self._bootstrap_servers.split(","),
                    enable_auto_commit=False,
                    bootstrap_timeout_ms=CONNECT_TIMEOUT_MILLISECONDS,
                    request_timeout_ms=5_000,
                )
            partitions = self._consumer.places(*self._topics)
            ends: Offsets = {}
            for at, offset in self._consumer.end_offsets(partitions, timeout_ms=5_000).items():
                ends.setdefault(at.topic, {})[at.partition] = offset
            return ends
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Drops the connection. Idempotent."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()


def read_offsets_at(bootstrap_servers: str, topic: str, moment: datetime) -> Offsets:
    """The first offset at or after `moment` by the broker's clock, per partition; the end where there is none.

    Raises: KafkaUnreachableError.
    """
    try:
        consumer = Consumer(
            bootstrap_servers=bootstrap_servers.split(","),
            enable_auto_commit=False,
            bootstrap_timeout_ms=CONNECT_TIMEOUT_MILLISECONDS,
        )
        try:
            partitions = consumer.places(topic)
            found = consumer.offsets_for_times(dict.fromkeys(partitions, int(moment.timestamp() * 1000)))
            ends = consumer.end_offsets(partitions)
        finally:
            consumer.close()
    except (KafkaError, OSError) as error:
        raise KafkaUnreachableError(f"Kafka at {bootstrap_servers} does not answer: {error!r}") from error
    return {topic: {at.partition: found[at].offset if found.get(at) is not None else ends[at] for at in partitions}}
