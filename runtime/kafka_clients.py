"""kafka-python's clients, which leave nothing running when they cannot start.

A constructor of kafka-python 3.0.12 starts a thread and looks for the broker. One that does not find it raises, and leaves the thread
and some five descriptors behind for good: whoever asks again and again while the broker is away runs out of them.
"""

from typing import Any

from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient


class Consumer(KafkaConsumer):  # type: ignore[misc]  # kafka-python is not typed
    """KafkaConsumer. Raises: KafkaError when the broker is not found in time, and nothing of it is left."""

    def __init__(self, **config: Any) -> None:
        try:
            super().__init__(**config)
        except BaseException:
            _end(self)
            raise


class AdminClient(KafkaAdminClient):  # type: ignore[misc]  # kafka-python is not typed
    """KafkaAdminClient. Raises: KafkaError when the broker is not found in time, and nothing of it is left."""

    def __init__(self, **config: Any) -> None:
        try:
            super().__init__(**config)
        except BaseException:
            _end(self)
            raise


def _end(half_made: Any) -> None:
    # Their own close() expects what the constructor sets last.
    connections = getattr(half_made, "_client", None)
    if connections is not None:
        connections.close()
