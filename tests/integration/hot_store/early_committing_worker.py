"""A worker with a planted bug: it commits before the records are in the store. Started by test_planted_bug."""

import os
import threading

from runtime.crash_points import CrashPoint, reach
from streaming.hot_store import __main__ as program
from streaming.hot_store.batches import Batch
from streaming.hot_store.worker import Worker


class EarlyWorker(Worker):
    """Dies, when that is asked for, at the same point as the real one: between the two."""

    def _finish(self, batch: Batch, stopping: threading.Event) -> None:
        self._source.commit(batch.ends())
        reach(CrashPoint.HOT_STORE_HANDLED)
        super()._finish(batch, stopping)


if __name__ == "__main__":
    program.Worker = EarlyWorker  # type: ignore[misc]
    os._exit(program.main())
