"""The thread that delivers in the background: when enough events wait, or the oldest waited long enough, or somebody flushes."""

import logging
import threading
import time
from collections.abc import Callable

from ingestion.sdk.courier import Courier, Step
from ingestion.sdk.outbox import Outbox
from ingestion.sdk.tuning import Tuning

_AFTER_DEFECT_SECONDS = 1.0

logger = logging.getLogger("ingestion.sdk")


class Worker:
    """Starts with the first event. A daemon: the end of the program does not wait for it, but for the client's `close`."""

    def __init__(
        self, outbox: Outbox, courier: Courier, tuning: Tuning, sleep: Callable[[float], None] | None = None
    ) -> None:
        """`sleep` waits between attempts; by default a wait that `stop` and `hurry` end."""
        self._outbox = outbox
        self._courier = courier
        self._tuning = tuning
        self._sleep = sleep
        self._thread: threading.Thread | None = None
        self._is_stopping = False
        self._urgent_up_to = 0
        self._ends_pause = False

    def start(self) -> None:
        """Runs from here on; again is nothing."""
        if self._thread is None:
            with self._outbox.changed:
                if self._thread is None and not self._is_stopping:
                    self._thread = threading.Thread(target=self._run, name="tidemark-sdk", daemon=True)
                    self._thread.start()

    def hurry(self, sequence: int) -> None:
        """Sends events up to this one without waiting for more, and ends a pause that the edge did not ask for."""
        with self._outbox.changed:
            self._urgent_up_to = sequence
            self._ends_pause = True
            self._outbox.changed.notify_all()

    def stop(self, timeout_seconds: float) -> None:
        """Ends after the request in flight; does not wait longer than told."""
        with self._outbox.changed:
            self._is_stopping = True
            self._outbox.changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        step = Step()
        while self._wait_for_work(is_retry=step.problem is not None):
            try:
                step = self._courier.deliver()
            except Exception:  # a defect must not end delivery for good; nothing was settled
                logger.exception("delivery failed unexpectedly, events are kept")
                step = Step(_AFTER_DEFECT_SECONDS)
            if step.pause_seconds:
                self._pause(step)

    def _wait_for_work(self, *, is_retry: bool) -> bool:
        """True when a request is due, False when it is time to end."""
        with self._outbox.changed:
            due_at: float | None = None
            while not self._is_stopping:
                count, now = self._outbox.pending, time.monotonic()
                if count == 0:
                    due_at = None
                    self._outbox.changed.wait()
                    continue
                due_at = due_at or now + self._tuning.flush_interval_seconds
                is_urgent = is_retry or self._outbox.holds_up_to(self._urgent_up_to)
                if is_urgent or count >= self._tuning.batch_max_events or now >= due_at:
                    self._ends_pause = False  # from here on a flush means the pause after this request
                    return True
                self._outbox.changed.wait(due_at - now)
            return False

    def _pause(self, step: Step) -> None:
        if self._sleep is not None:
            self._sleep(step.pause_seconds)
            return
        until = time.monotonic() + step.pause_seconds
        with self._outbox.changed:
            while (left := until - time.monotonic()) > 0 and not self._is_stopping:
                if self._ends_pause and not step.is_ordered:
                    return
                self._outbox.changed.wait(left)
