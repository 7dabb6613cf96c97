"""Carries the oldest events to the edge, one request after the other, and says how long to wait before the next.

Requests never overlap: one user's events keep their order, and a failure is one to the whole queue. Waits for nothing itself.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from ingestion.sdk.errors import RefusedError, RejectedError, SDKDeliveryError, SpoolError, UnavailableError
from ingestion.sdk.events import event_id_of
from ingestion.sdk.outbox import Outbox
from ingestion.sdk.stores import Entry
from ingestion.sdk.transport import EdgeTransport, NoVerdict, Trouble, Verdicts
from ingestion.sdk.tuning import Tuning

logger = logging.getLogger("ingestion.sdk")


@dataclass(frozen=True)
class Step:
    """After one request: how long to wait, whether the edge itself asked for that, and what went wrong."""

    pause_seconds: float = 0.0
    is_ordered: bool = False
    problem: SDKDeliveryError | None = None


class Courier:
    """`deliver` may be called by several threads and takes turns."""

    def __init__(
        self,
        outbox: Outbox,
        transport: EdgeTransport,
        tuning: Tuning,
        random: Random,
        on_rejected: Callable[[RejectedError], None],
    ) -> None:
        self.requests = self.retries = 0
        self.problem: SDKDeliveryError | None = None
        self._outbox = outbox
        self._transport = transport
        self._tuning = tuning
        self._random = random
        self._on_rejected = on_rejected
        self._turn = threading.Lock()
        self._failures = 0
        self._max_events = tuning.batch_max_events

    def deliver(self) -> Step:
        """Sends the oldest events once and settles those that have a verdict."""
        with self._turn:
            try:
                batch = self._outbox.head(self._max_events, self._tuning.batch_max_bytes)
            except SpoolError as error:
                return self._failed(error)
            if not batch:
                return Step()
            self.requests += 1
            self.retries += self._failures > 0
            answer = self._transport.post([entry.raw for entry in batch])
            if isinstance(answer, Verdicts):
                rejections = self._settle(batch, answer)
                step = self._after_verdicts(batch, answer)
            else:
                step, rejections = self._without_verdict(batch, answer)
        for rejection in rejections:
            self._on_rejected(rejection)
        return step

    def _settle(self, batch: Sequence[Entry], verdicts: Verdicts) -> list[RejectedError]:
        rejected = {batch[position].sequence: code for position, (code, _) in verdicts.rejected.items()}
        waiting = {batch[position].sequence for position in verdicts.again}
        accepted = [
            entry.sequence for entry in batch if entry.sequence not in rejected and entry.sequence not in waiting
        ]
        self._outbox.settle(accepted, rejected)
        return [
            RejectedError(event_id_of(batch[position].raw), batch[position].raw, code, message)
            for position, (code, message) in sorted(verdicts.rejected.items())
        ]

    def _after_verdicts(self, batch: Sequence[Entry], verdicts: Verdicts) -> Step:
        self._max_events = min(self._tuning.batch_max_events, self._max_events * 2)
        if not verdicts.again:
            if self._failures:
                logger.info("edge takes events again: failures=%d", self._failures)
            self._failures = 0
            self.problem = None
            return Step()
        if len(verdicts.again) < len(batch):
            self._failures = 0  # it moves: begin with short pauses again
        message = f"{len(verdicts.again)} of {len(batch)} events were not acknowledged"
        return self._failed(UnavailableError(message, is_kept=True))

    def _without_verdict(self, batch: Sequence[Entry], answer: NoVerdict) -> tuple[Step, list[RejectedError]]:
        if answer.trouble is Trouble.BODY:
            if len(batch) > 1:
                self._max_events = len(batch) // 2
                return Step(), []
            rejections = self._settle(batch, Verdicts({0: (answer.code, answer.message)}))
            return self._after_verdicts(batch, Verdicts()), rejections
        message = f"{answer.code}: {answer.message}"
        if answer.trouble is Trouble.REFUSED:
            return self._failed(
                RefusedError(message, is_kept=True), at_least_seconds=self._tuning.longest_pause_seconds
            ), []
        error = UnavailableError(message, is_kept=True)
        return self._failed(error, at_least_seconds=answer.retry_after_seconds), []

    def _failed(self, problem: SDKDeliveryError, at_least_seconds: float = 0.0) -> Step:
        if self._failures == 0:
            logger.warning("edge takes no events, they are kept and tried again: problem=%s", problem)
        pause = min(self._tuning.first_pause_seconds * 2 ** min(self._failures, 30), self._tuning.longest_pause_seconds)
        pause *= self._random.uniform(0.5, 1.0)
        self._failures += 1
        self.problem = problem
        if at_least_seconds > pause:
            # Clients that were all told the same do not all come back at the same moment.
            spread = self._random.uniform(0.0, self._tuning.first_pause_seconds)
            return Step(at_least_seconds + spread, is_ordered=True, problem=problem)
        return Step(pause, problem=problem)
