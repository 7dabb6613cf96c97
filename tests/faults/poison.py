"""A client that writes straight to Kafka what no client should: the poison of landing's tests, over and over."""

import threading
import time
from contextlib import suppress

from confluent_kafka import Producer

from ingestion.contracts.topics import LIVE_TOPIC
from tests.integration.streaming.test_poison import TABLE

KINDS = [poison for poison in TABLE if poison.topic == LIVE_TOPIC and poison.reason is not None]
_QUEUED_AT_MOST = 10_000


class PoisonProducer(threading.Thread):
    """Sends until told to stop. Nothing is promised for its records; every one that lands must be quarantined with its reason (I2, I6)."""

    def __init__(self, bootstrap: str, rate: float) -> None:
        super().__init__(daemon=True)
        self._rate = rate
        self._stopping = threading.Event()
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "queue.buffering.max.messages": _QUEUED_AT_MOST, "log_level": 0}
        )
        self.sent_count = 0
        self._death = ""

    def run(self) -> None:
        """See Thread."""
        try:
            self._send()
        except Exception as error:  # noqa: BLE001 - told by finish(), in the thread that can fail the run
            self._death = repr(error)

    def _send(self) -> None:
        if not self._rate:
            return
        started = time.monotonic()
        while not self._stopping.wait(max(0.0, started + self.sent_count / self._rate - time.monotonic())):
            poison = KINDS[self.sent_count % len(KINDS)]
            with suppress(BufferError):  # the broker is away: whoever sends poison need not be patient
                self._producer.produce(LIVE_TOPIC, poison.value, poison.key, headers=poison.record_headers)
            self.sent_count += 1
            self._producer.poll(0)

    def finish(self) -> None:
        """Sends nothing new; what is queued goes out, or is lost with the client, which nobody was promised anything of.

        Raises: AssertionError when it had ended by itself.
        """
        self._stopping.set()
        self.join(10)
        self._producer.flush(30)
        assert not self._death, f"the client that sends poison died: {self._death}"
