"""Which variants an experiment has: as configured, else as the edge says, else A and B.

Asking the edge never holds an event up for long and never loses one: a question that has no answer in time, or fails, lets every variant
pass, because the edge judges again. Answers are kept for a while; after a failure nothing is asked for a while.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

import httpx
import msgspec

from ingestion.sdk.errors import UnknownVariantError

UNREGISTERED_VARIANTS = ("A", "B")
_KEPT_SECONDS = 60.0
_AFTER_FAILURE_SECONDS = 30.0
_LONGEST_WAIT_SECONDS = 0.5
_MAX_EXPERIMENTS = 1000

logger = logging.getLogger("ingestion.sdk")

Fetch = Callable[[str], tuple[str, ...]]
"""The variants of an experiment; raises when they cannot be had."""


class _Registered(msgspec.Struct):
    variants: list[str]


_read_registered = msgspec.json.Decoder(_Registered).decode


def edge_fetch(http: httpx.Client) -> Fetch:
    """Asks `GET /experiments/{id}`: 404 means that nobody registered it."""

    def fetch(experiment_id: str) -> tuple[str, ...]:
        answer = http.get(f"/experiments/{quote(experiment_id, safe='')}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return UNREGISTERED_VARIANTS
        answer.raise_for_status()
        variants = tuple(_read_registered(answer.content).variants)
        if not variants:
            raise ValueError("an experiment without variants")
        return variants

    return fetch


class Experiments:
    """Checks variants. For several threads."""

    def __init__(
        self,
        configured: Mapping[str, Sequence[str]],
        fetch: Fetch | None = None,
        *,
        wait_seconds: float = _LONGEST_WAIT_SECONDS,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without `fetch` only what is configured counts. Raises: ValueError."""
        for experiment_id, variants in configured.items():
            if isinstance(variants, str) or not variants:
                raise ValueError(f"experiments[{experiment_id!r}] must list at least one variant, as in ['A', 'B']")
        self._configured = {experiment_id: tuple(variants) for experiment_id, variants in configured.items()}
        self._fetch = fetch
        self._wait_seconds = wait_seconds
        self._timer = timer
        self._known: dict[str, tuple[tuple[str, ...], float]] = {}
        self._asking: dict[str, threading.Event] = {}
        self._silent_until = float("-inf")
        self._lock = threading.Lock()

    def check(self, experiment_id: str | None, variant: str | None) -> None:
        """Raises: UnknownVariantError."""
        if experiment_id is None or variant is None:
            return
        variants = self._variants(experiment_id)
        if variants is not None and variant not in variants:
            raise UnknownVariantError(experiment_id, variant, variants)

    def _variants(self, experiment_id: str) -> tuple[str, ...] | None:
        """None when nobody can tell at this moment."""
        if experiment_id in self._configured:
            return self._configured[experiment_id]
        if self._fetch is None:
            return UNREGISTERED_VARIANTS
        with self._lock:
            variants, asked_at = self._known.get(experiment_id, (None, float("-inf")))
            now = self._timer()
            if now - asked_at < _KEPT_SECONDS:
                return variants
            answered = self._asking.get(experiment_id)
            is_first = answered is None
            if answered is None:
                if now < self._silent_until:
                    return variants
                answered = self._asking[experiment_id] = threading.Event()
        if is_first:
            # A thread of its own, because no timeout of HTTP bounds a whole exchange.
            threading.Thread(target=self._ask, args=(experiment_id, answered), daemon=True).start()
        if variants is None and is_first:
            answered.wait(self._wait_seconds)
            with self._lock:
                variants = self._known.get(experiment_id, (None, 0.0))[0]
        return variants

    def _ask(self, experiment_id: str, answered: threading.Event) -> None:
        assert self._fetch is not None
        variants: tuple[str, ...] | None = None
        try:
            variants = self._fetch(experiment_id)
        except (httpx.HTTPError, msgspec.MsgspecError, ValueError, RuntimeError) as error:
            # RuntimeError: the client was closed meanwhile.
            logger.warning("experiment could not be looked up: experiment_id=%s error=%r", experiment_id, error)
        with self._lock:
            if variants is None:
                self._silent_until = self._timer() + _AFTER_FAILURE_SECONDS
            else:
                if len(self._known) >= _MAX_EXPERIMENTS:
                    self._known.clear()
                self._known[experiment_id] = (variants, self._timer())
            self._asking.pop(experiment_id, None)
        answered.set()
