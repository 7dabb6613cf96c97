"""Whether the broker can take records, asked of it again and again by one thread.

`/health` and the ingest path read the last answer: requests are refused at once, instead of each waiting for its time-out, while
the broker is known to be away.
"""

import threading
from collections.abc import Callable

import structlog

from ingestion.sinks.errors import SinkUnavailableError
from ingestion.sinks.sink import EventSink

_CHECK_TIMEOUT_SECONDS = 2.0
# One missed answer may be a pause of a busy machine; two in a row are an outage.
_MISSES_OF_AN_OUTAGE = 2
log = structlog.get_logger(__name__)


class BrokerMonitor:
    """Checks a sink every `pause_seconds`; an outage shows within three pauses and two time-outs."""

    def __init__(self, sink: EventSink, pause_seconds: float, on_change: Callable[[bool], None]) -> None:
        self._sink = sink
        self._pause_seconds = pause_seconds
        self._on_change = on_change
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="broker-monitor", daemon=True)
        self._misses = 0
        self.refusal: str | None = "the broker has not answered yet"

    @property
    def is_reachable(self) -> bool:
        """True when the broker answers."""
        return self.refusal is None

    def start(self) -> None:
        """Asks once, then goes on in the background."""
        self.check()
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Ends the thread."""
        self._stopping.set()
        self._thread.join(timeout_seconds)

    def check(self) -> None:
        """Asks the broker once."""
        was_reachable = self.is_reachable
        try:
            self._sink.check(_CHECK_TIMEOUT_SECONDS)
        except SinkUnavailableError as error:
            self._misses += 1
            if self._misses >= _MISSES_OF_AN_OUTAGE:
                self.refusal = str(error)
        else:
            self._misses = 0
            self.refusal = None
        if self.is_reachable != was_reachable:
            log.info("broker reachability changed", is_reachable=self.is_reachable, refusal=self.refusal)
        self._on_change(self.is_reachable)

    def _run(self) -> None:
        while not self._stopping.wait(self._pause_seconds):
            try:
                self.check()
            except Exception as error:  # noqa: BLE001 - without this thread nobody would take requests again
                log.error("asking the broker failed", error=type(error).__name__)
