"""kafka-python's clients, which leave nothing running when they cannot start.

A constructor of kafka-python 3.0.12 starts a thread and looks for the broker. One that does not find it raises, and leaves the thread
and some five descriptors behind for good: whoever asks again and again while the broker is away runs out of them.
"""

from typing import Any

from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient


class _EndsWhatItStarted:
    """A client whose constructor raises KafkaError when the broker is not found in time, and then leaves nothing of itself."""

    def __init__(self, **config: Any) -> None:
        try:
            super().__init__(**config)
        except BaseException:
            # Their own close() expects what the constructor sets last.
            connections: Any = getattr(self, "_client", None)
            if connections is not None:
                connections.close()
            raise


class Consumer(_EndsWhatItStarted, KafkaConsumer):  # type: ignore[misc]  # kafka-python is not typed
    """KafkaConsumer."""


class AdminClient(_EndsWhatItStarted, KafkaAdminClient):  # type: ignore[misc]  # kafka-python is not typed
    """KafkaAdminClient."""
