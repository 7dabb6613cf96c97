"""Event ids for requests with an `Idempotency-Key`.

The same app and key give the same id, on every replica and after every restart: it is computed. That one key was used with two ids is
noticed by whoever remembers the first: this process its last uses, and all replicas those of a day, in a store behind the memory. The
store is asked for requests with such a key only, waited for a quarter of a second, and left alone for a second when it fails: it is a
courtesy to clients, deduplication does not rest on it. Two uses at the very same time may both pass.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, TypeVar
from uuid import NAMESPACE_URL, uuid5

import structlog

from ingestion.api.errors import ErrorCode, RequestError

MAX_KEY_LENGTH = 255
_REMEMBERED_KEYS = 100_000
_STORE_WAIT_SECONDS = 0.25
_STORE_PAUSE_SECONDS = 1.0
log = structlog.get_logger(__name__)
Found = TypeVar("Found")


class UsedKeys(Protocol):
    """Remembers keys for all replicas. May block, may raise."""

    def find(self, app_id: str, key: str) -> str | None:
        """The event id of the key's first use."""
        ...

    def remember(self, app_id: str, key: str, event_id: str) -> None:
        """Notes a use; the first one stands."""
        ...


def event_id_for(app_id: str, key: str) -> str:
    """uuid5 of the key in the app's own namespace."""
    return str(uuid5(uuid5(NAMESPACE_URL, f"tidemark:app:{app_id}"), key))


class IdempotencyKeys:
    """The last keys used and their event ids, and the store behind them."""

    def __init__(self, store: UsedKeys | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._used: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._store = store
        self._clock = clock
        self._store_from = 0.0

    async def recall(self, app_id: str, key: str) -> None:
        """Takes into memory what the store knows of a key, before `resolve`."""
        if self._store is None or (app_id, key) in self._used or len(key) > MAX_KEY_LENGTH:
            return
        event_id = await self._ask(self._store.find, app_id, key)
        if event_id is not None:
            self._note(app_id, key, event_id)

    def resolve(self, app_id: str, key: str, event_id: str | None) -> str:
        """The event's id. Raises: RequestError when the key was used with another id."""
        if not 1 <= len(key) <= MAX_KEY_LENGTH:
            raise RequestError(ErrorCode.INVALID_HEADER, f"Idempotency-Key must have 1 to {MAX_KEY_LENGTH} characters")
        used = self._used.get((app_id, key))
        if event_id is not None and used is not None and used != event_id:
            raise RequestError(ErrorCode.IDEMPOTENCY_CONFLICT, "this Idempotency-Key was used with another event_id")
        return event_id or used or event_id_for(app_id, key)

    async def remember(self, app_id: str, key: str, event_id: str) -> None:
        """Notes a key after its event was acknowledged."""
        is_known = self._used.get((app_id, key)) == event_id
        self._note(app_id, key, event_id)
        if self._store is not None and not is_known:
            await self._ask(self._store.remember, app_id, key, event_id)

    def _note(self, app_id: str, key: str, event_id: str) -> None:
        self._used[app_id, key] = event_id
        self._used.move_to_end((app_id, key))
        while len(self._used) > _REMEMBERED_KEYS:
            self._used.popitem(last=False)

    async def _ask(self, question: Callable[..., Found], *arguments: str) -> Found | None:
        """The store's answer, None when it has none in time."""
        if self._clock() < self._store_from:
            return None
        try:
            return await asyncio.wait_for(asyncio.to_thread(question, *arguments), _STORE_WAIT_SECONDS)
        except Exception as error:  # noqa: BLE001 - any failure of the store means: go on with what this process remembers
            log.warning("used idempotency keys cannot be reached", error=type(error).__name__)
            self._store_from = self._clock() + _STORE_PAUSE_SECONDS
            return None
