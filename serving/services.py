"""What the routes share: one value per running app, made by `create_app` and kept on `app.state`."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast

from fastapi import Request

from serving.answers import AnswerMaker
from serving.authentication import Authenticator
from serving.catalog import PublicationCatalog
from serving.errors import UnavailableError
from serving.health import HealthChecker
from serving.metrics import ServingMetrics
from serving.publication_diff import DiffMaker
from serving.settings import ServingSettings
from serving.snapshots import SnapshotPool

T = TypeVar("T")


class Workers:
    """A bounded pool of threads: as many queries run at once as there are workers, a bounded number waits, more are refused."""

    def __init__(self, workers: int, max_waiting: int) -> None:
        self._executor = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="query")
        self._limit = workers + max_waiting
        self._taken = 0
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, done in a worker. Raises `UnavailableError` when too many wait."""
        with self._lock:
            if self._taken >= self._limit:
                raise UnavailableError("Too many requests wait. Try again shortly.")
            self._taken += 1
        future = self._executor.submit(work)
        future.add_done_callback(lambda _: self._give_back())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Waits for running work; waiting work is dropped."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _give_back(self) -> None:
        with self._lock:
            self._taken -= 1


@dataclass(frozen=True)
class Services:
    """The parts of a running app. `now` is the clock of every answer."""

    settings: ServingSettings
    pool: SnapshotPool
    catalog: PublicationCatalog
    authenticator: Authenticator
    answers: AnswerMaker
    diffs: DiffMaker
    health: HealthChecker
    metrics: ServingMetrics
    workers: Workers
    now: Callable[[], datetime]
    version: str


def services_of(request: Request) -> Services:
    """The services of the app that answers this request."""
    return cast(Services, request.app.state.services)
