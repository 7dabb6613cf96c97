"""The machinery of one client in one process: outbox, courier and, in the background, the worker; and waiting for them."""

import time
from collections.abc import Callable
from random import Random

from ingestion.sdk.arguments import Sleep
from ingestion.sdk.courier import Courier
from ingestion.sdk.errors import RefusedError, RejectedError, UnavailableError
from ingestion.sdk.outbox import Outbox
from ingestion.sdk.stores import Entry, Store
from ingestion.sdk.transport import EdgeTransport
from ingestion.sdk.tuning import Tuning
from ingestion.sdk.worker import Worker

_LOOK_AGAIN_SECONDS = 0.1
_STOP_SECONDS = 0.5


class Delivery:
    """Takes bytes of checked events. For several threads."""

    def __init__(
        self,
        store: Store,
        transport: EdgeTransport,
        tuning: Tuning,
        on_rejected: Callable[[RejectedError], None],
        *,
        recovered: int = 0,
        is_background: bool,
        sleep: Sleep | None,
        random: Random,
    ) -> None:
        self.outbox = Outbox(store, recovered)
        self.courier = Courier(self.outbox, transport, tuning, random, on_rejected)
        self._worker = Worker(self.outbox, self.courier, tuning, sleep)
        self._wake_at = tuning.batch_max_events
        self._is_background = is_background
        self._sleep = sleep if sleep is not None else time.sleep
        if recovered and is_background:
            self._worker.start()

    def put(self, raw: bytes) -> int:
        """The event's sequence. Raises: QueueFullError, SpoolError, ClientClosedError."""
        sequence = self.outbox.put(raw, self._wake_at)
        if self._is_background:
            self._worker.start()
        return sequence

    def flush(self, timeout_seconds: float | None) -> None:
        """Returns when all that waits at this moment is settled. Raises: UnavailableError, RefusedError."""
        sequence = self.outbox.last_sequence
        if sequence is None:
            return
        if self._is_background:
            self._await(sequence, timeout_seconds)
        else:
            self.deliver_up_to(sequence, timeout_seconds)

    def deliver_up_to(self, sequence: int, timeout_seconds: float | None) -> None:
        """Delivers in the caller's thread until this event is settled. Raises: UnavailableError, RefusedError."""
        deadline = _deadline(timeout_seconds)
        while self.outbox.holds_up_to(sequence):
            if time.monotonic() >= deadline:
                raise self._late()
            step = self.courier.deliver()
            if step.problem is None or not self.outbox.holds_up_to(sequence):
                continue
            if isinstance(step.problem, RefusedError):
                raise step.problem
            if time.monotonic() + step.pause_seconds > deadline:
                raise self._late()
            self._sleep(step.pause_seconds)

    def stop(self, *, abandons: bool) -> list[Entry]:
        """What is given up. Nothing is sent from here on, but for a request in flight that does not end soon."""
        self._worker.stop(_STOP_SECONDS)
        return self.outbox.close(abandons=abandons)

    def _await(self, sequence: int, timeout_seconds: float | None) -> None:
        deadline = _deadline(timeout_seconds)
        self._worker.start()
        self._worker.hurry(sequence)
        requests = self.courier.requests
        with self.outbox.changed:
            while self.outbox.holds_up_to(sequence):
                problem = self.courier.problem
                if isinstance(problem, RefusedError) and self.courier.requests > requests:
                    raise RefusedError(str(problem), is_kept=True)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise self._late()
                # A failed attempt settles nothing and wakes nobody.
                self.outbox.changed.wait(min(left, _LOOK_AGAIN_SECONDS))

    def _late(self) -> UnavailableError:
        message = f"{self.outbox.pending} events are not acknowledged yet; last problem: {self.courier.problem}"
        return UnavailableError(message, is_kept=True)


def _deadline(timeout_seconds: float | None) -> float:
    return float("inf") if timeout_seconds is None else time.monotonic() + timeout_seconds
