"""A sink that keeps records in memory: the dry run's and the tests' stand-in for a broker, with faults on demand."""

import asyncio
from collections import deque
from concurrent.futures import Future

from ingestion.sinks.errors import SinkUnavailableError
from ingestion.sinks.records import OutgoingRecord
from ingestion.sinks.sink import Batch, Outcome


class InMemorySink:
    """Acknowledges at once. `available` false refuses everything; positions in `failing` are not delivered, once."""

    def __init__(self) -> None:
        self.records: list[OutgoingRecord] = []
        self.available = True
        self.failing: set[int] = set()

    def submit(self, batch: Batch) -> "Future[Outcome]":
        """See EventSink."""
        self.check(0)
        failing, self.failing = self.failing, set()
        failed = {position: "planted failure" for position in failing if position < batch.count}
        self.records += [record for position, record in enumerate(batch.records) if position not in failed]
        future: Future[Outcome] = Future()
        future.set_result(Outcome(failed))
        return future

    def publish(self, batch: Batch) -> "asyncio.Future[Outcome]":
        """See EventSink."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        future.set_result(self.submit(batch).result())
        return future

    def check(self, timeout_seconds: float) -> None:  # noqa: ARG002 - the protocol's signature
        """See EventSink."""
        if not self.available:
            raise SinkUnavailableError("the sink in memory was made unavailable")

    def close(self, timeout_seconds: float) -> None:
        """See EventSink."""


class DiscardingSink(InMemorySink):
    """Acknowledges everything and keeps nothing: a dry run over a large file in constant memory."""

    def submit(self, batch: Batch) -> "Future[Outcome]":
        """See EventSink."""
        deque(batch.records, maxlen=0)
        future: Future[Outcome] = Future()
        future.set_result(Outcome())
        return future
