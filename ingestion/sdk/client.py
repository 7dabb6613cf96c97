"""The client that applications hold: events in, counts out. What it is made of is in the other modules.

An event that `track`, `send` or `enqueue` returned for is sent until the edge has accepted or rejected it, under one id and with the
same bytes each time. Without a spool that promise ends with the process; `close` says what it had to give up.
"""

import atexit
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx

from ingestion.sdk import arguments, forks
from ingestion.sdk.arguments import Mode, Sleep
from ingestion.sdk.delivery import Delivery
from ingestion.sdk.errors import (
    AbandonedError,
    ClientClosedError,
    LostEventError,
    NotAcknowledgedError,
    RejectedError,
    SDKError,
)
from ingestion.sdk.events import Event, event_id_of
from ingestion.sdk.experiments import Experiments, edge_fetch
from ingestion.sdk.outbox import Stats
from ingestion.sdk.stores import ForeignStore, MemoryStore, Store
from ingestion.sdk.transport import EdgeTransport
from ingestion.sdk.tuning import Tuning

logger = logging.getLogger("ingestion.sdk")


def now_utc() -> datetime:
    """The clock of a running client."""
    return datetime.now(UTC)


class EventClient:
    """Sends events of one app. For several threads, and once per process.

    `mode`: "background" delivers in a thread; "each" returns from `track` when the edge has the event, or raises; "manual" delivers
    in `flush` only. `timeout` is a request's, and in "each" also the time for all attempts of one `track`, in seconds.
    `experiments` says which variants an experiment has; for others the edge is asked when `fetches_experiments`, else A and B count.
    `on_error` gets every event that is given up, once, from the thread that found out.
    """

    def __init__(
        self,
        app_id: str,
        endpoint: str,
        timeout: float = 4,
        *,
        write_key: str | None = None,
        source: str = "python-sdk",
        experiments: Mapping[str, Sequence[str]] | None = None,
        fetches_experiments: bool = False,
        mode: Mode = "background",
        spool_path: str | Path | None = None,
        on_error: Callable[[LostEventError], None] | None = None,
        tuning: Tuning | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], datetime] = now_utc,
        sleep: Sleep | None = None,
        random: Random | None = None,
    ) -> None:
        """Raises: ValueError for arguments that cannot be meant; SpoolLockedError, SpoolError."""
        self._app_id = arguments.short_text("app_id", app_id)
        self._source = arguments.short_text("source", source)
        self._endpoint = arguments.base_url(endpoint)
        self._timeout_seconds = arguments.positive_seconds("timeout", timeout)
        self._headers = arguments.key_headers(write_key)
        self._mode = arguments.known_mode(mode)
        self._configured_experiments = dict(experiments or {})
        self._fetches_experiments = fetches_experiments
        self._on_error = on_error
        self._tuning = tuning or Tuning()
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._random = random or Random()  # noqa: S311 - spreads retries, guards nothing
        self._spool_path = Path(spool_path) if spool_path is not None else None
        self._is_closed = False
        Experiments(self._configured_experiments)
        store, recovered, self._cut_bytes = arguments.open_store(self._spool_path, self._tuning)
        self._assemble(store, recovered)
        forks.watch(self)
        atexit.register(self.close)

    def _assemble(self, store: Store, recovered: int = 0) -> None:
        self._http = httpx.Client(
            base_url=self._endpoint, headers=self._headers, timeout=self._timeout_seconds, transport=self._transport
        )
        fetch = edge_fetch(self._http) if self._fetches_experiments else None
        self._experiments = Experiments(self._configured_experiments, fetch)
        self._edge = EdgeTransport(self._http, self._tuning.gzip_above_bytes, self._clock)
        self._closing = threading.RLock()  # a signal's handler may close while its thread does
        self._awaited: dict[str, RejectedError | None] = {}
        self._delivery = Delivery(
            store,
            self._edge,
            self._tuning,
            self._note_rejection,
            recovered=recovered,
            is_background=self._mode == "background",
            sleep=self._sleep,
            random=self._random,
        )

    def __repr__(self) -> str:
        return f"EventClient(app_id={self._app_id!r}, endpoint={self._endpoint!r}, mode={self._mode!r})"

    def __enter__(self) -> "EventClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def track(
        self,
        user_id: str,
        event_type: str,
        experiment_id: str | None = None,
        variant: str | None = None,
        properties: dict[str, Any] | None = None,
        **fields: Any,
    ) -> str:
        """The id of a product event that is taken; `fields` are others of the contract. Raises: as `send`."""
        now = self._clock()
        return self.send(Event.create(user_id, event_type, experiment_id, variant, properties, now=now, **fields))

    def send(self, event: Event) -> str:
        """The event's id, once it is taken; in mode "each", once the edge has accepted it.

        Raises: SDKValidationError, QueueFullError, SpoolError, ClientClosedError; in mode "each" also RejectedError, RefusedError,
        UnavailableError.
        """
        if self._mode != "each":
            return self.enqueue(event)
        raw = self._checked(event)
        self._awaited[event.event_id] = None
        try:
            self._deliver_one(raw)
        finally:
            rejection = self._awaited.pop(event.event_id, None)
        if rejection is not None:
            raise rejection
        return event.event_id

    def enqueue(self, event: Event) -> str:
        """The event's id, once it is taken, whatever the mode. Raises: as `send` does, but nothing about the edge."""
        self._delivery.put(self._checked(event))
        return event.event_id

    def flush(self, timeout: float | None = None) -> None:
        """Returns when every event taken before has its verdict. `timeout` in seconds, None: as long as it takes.

        Raises: UnavailableError when time is up, RefusedError at once; the events are kept. ClientClosedError.
        """
        self._delivery.flush(timeout)

    def close(self, timeout: float | None = None) -> Stats:
        """The last counts. Tries to deliver for `timeout` seconds, `close_timeout_seconds` unless said otherwise; again is nothing.

        What is left stays in the spool; without one it is abandoned, counted, and given to `on_error`.
        """
        with self._closing:
            if not self._is_closed:
                self._is_closed = True
                try:
                    self._delivery.flush(self._tuning.close_timeout_seconds if timeout is None else timeout)
                except SDKError as error:
                    logger.warning("not everything was delivered at close: problem=%s", error)
                self._end()
                self._http.close()
                atexit.unregister(self.close)
        return self.stats()

    def stats(self) -> Stats:
        """Counts since the client was made."""
        courier = self._delivery.courier
        return replace(
            self._delivery.outbox.stats(),
            requests=courier.requests,
            retries=courier.retries,
            sent_bytes=self._edge.sent_bytes,
            spool_cut_bytes=self._cut_bytes,
        )

    def begin_afresh(self) -> None:
        """In a forked child: what waits is the parent's to send, and so is its spool."""
        self._delivery.outbox.disown()
        if not self._is_closed:
            tuning = self._tuning
            memory = MemoryStore(tuning.queue_max_events, tuning.queue_max_bytes)
            self._assemble(memory if self._spool_path is None else ForeignStore(str(self._spool_path)))

    def _checked(self, event: Event) -> bytes:
        if self._is_closed:
            raise ClientClosedError("the client is closed")
        self._experiments.check(event.experiment_id, event.variant)
        return event.completed(self._app_id, self._source)

    def _deliver_one(self, raw: bytes) -> None:
        """Raises: RefusedError, UnavailableError; then the event is kept in a spool only."""
        sequence = self._delivery.put(raw)
        try:
            self._delivery.deliver_up_to(sequence, self._timeout_seconds)
        except NotAcknowledgedError as error:
            if self._spool_path is not None:
                raise
            # Nothing to give up means that another thread has had it delivered meanwhile.
            if self._delivery.outbox.abandon([sequence]):
                raise type(error)(str(error), is_kept=False) from None

    def _note_rejection(self, error: RejectedError) -> None:
        if error.event_id in self._awaited:
            self._awaited[error.event_id] = error
        else:
            self._tell(error)

    def _end(self) -> None:
        """Abandons what is left, unless a spool keeps it."""
        abandoned = self._delivery.stop(abandons=self._spool_path is None)
        if abandoned:
            logger.error("events were abandoned at close: count=%d", len(abandoned))
        for entry in abandoned:
            self._tell(AbandonedError(event_id_of(entry.raw), entry.raw))

    def _tell(self, error: LostEventError) -> None:
        if self._on_error is None:
            return
        try:
            self._on_error(error)
        except Exception:  # the application's code, in our thread
            logger.exception("on_error raised: event_id=%s", error.event_id)
