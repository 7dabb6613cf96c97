"""A client that writes downloads to the inlet itself, all the while, and waits for the broker's word on each."""

import threading
from datetime import UTC, datetime, timedelta

from tests.e2e.stack import Stack

BATCH_RECORDS = 20
PAUSE_SECONDS = 0.2


class InletLoad(threading.Thread):
    """Sends from its start until `finish`. The downloads occurred a month ago: other tests' hours stay theirs."""

    def __init__(self, stack: Stack, name: str, minutes_before: int) -> None:
        super().__init__(daemon=True)
        self._prefix = f"{name}-"
        self._occurred_at = datetime.now(UTC) - timedelta(days=30, minutes=minutes_before)
        self._stack = stack
        self._inlet = stack.open_inlet()
        self._is_stopping = threading.Event()
        self._sent: list[str] = []
        self._death = ""
        self.start()

    def run(self) -> None:
        """See Thread."""
        try:
            self._send()
        except Exception as error:  # noqa: BLE001 - told by finish(), in the thread that can fail the run
            self._death = repr(error)

    def _send(self) -> None:
        while not self._is_stopping.wait(PAUSE_SECONDS):
            event_ids = [f"{self._prefix}{len(self._sent) + number}" for number in range(BATCH_RECORDS)]
            self._inlet.send(event_ids, self._occurred_at)
            self._sent += event_ids

    def finish(self) -> None:
        """The broker has them all. Raises: AssertionError when it does not say so in time, or when there are none."""
        self._is_stopping.set()
        self.join(120)
        assert not self.is_alive(), "the broker has not acknowledged every download"
        assert not self._death, f"the client of the inlet died: {self._death}"
        assert self._sent, "nothing was sent"

    def published(self) -> tuple[int, int, int]:
        """Sent, and once settled rows and distinct ids of `silver.events`: all three are equal when each is there once."""
        query = "select count(*), count(distinct event_id) from lake.silver.events where starts_with(event_id, $1)"
        ((rows, distinct),) = self._stack.published_rows(query, self._prefix)
        return len(self._sent), rows, distinct
