"""How many requests a caller may send: token buckets, shared by replicas, asked about without waiting.

Every replica leases requests in chunks of a hundredth of the limit and lets them in from memory; a thread leases the next chunk when half
is used. A replica therefore holds at most one chunk per caller: over any span of time all replicas together let in at most the limit, what
the time refilled, and one chunk each. While the shared buckets cannot be reached, or do not answer within a quarter of a second, every
replica limits by itself: requests are never held up. Knows no HTTP and no database.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog
from throttled import MemoryStore, per_duration
from throttled.rate_limiter.token_bucket import TokenBucketRateLimiter

from storage.control.rate_buckets import Lease

log = structlog.get_logger(__name__)
_CHUNKS = 100
_MAX_BUCKETS = 10_000
SHARED_WAIT_SECONDS = 0.25
_EMPTY_PAUSE_SECONDS = 0.1
_PROBE_SECONDS = 1.0


@dataclass(frozen=True)
class RatePolicy:
    """`limit` requests per `window_seconds`; as many at once when nothing was sent before. A limit of 0 switches it off."""

    limit: int
    window_seconds: int = 60

    @property
    def per_second(self) -> float:
        """How fast a bucket fills."""
        return self.limit / self.window_seconds

    @property
    def chunk(self) -> int:
        """Most requests that a replica holds leased per caller."""
        return max(1, self.limit // _CHUNKS)


class TokenSource(Protocol):
    """Where requests are leased. May block, may raise."""

    def lease(self, wants: Mapping[str, int]) -> dict[str, Lease]:
        """Bucket → what it gave."""
        ...


class LocalTokens:
    """Buckets of this process alone; those least recently used are forgotten, which means that they are full."""

    def __init__(self, policy: RatePolicy, max_buckets: int = _MAX_BUCKETS) -> None:
        quota = per_duration(timedelta(seconds=policy.window_seconds), max(policy.limit, 1))
        self._limiter = TokenBucketRateLimiter(quota, MemoryStore(options={"MAX_SIZE": max_buckets}))

    def lease(self, wants: Mapping[str, int]) -> dict[str, Lease]:
        """See TokenSource."""
        return {bucket_id: self._take(bucket_id, want) for bucket_id, want in wants.items()}

    def _take(self, bucket_id: str, want: int) -> Lease:
        result = self._limiter.limit(bucket_id, want)
        left = result.state.remaining
        if not result.limited:
            return Lease(want, left)
        # The library gives all or nothing; the rest of a bucket is given too.
        if left < 1 or self._limiter.limit(bucket_id, left).limited:
            return Lease(0, 0)
        return Lease(left, 0)


class RateLimitedError(Exception):
    """The caller has used up its requests; one is there again after `retry_after_seconds`."""

    def __init__(self, policy: RatePolicy, retry_after_seconds: int) -> None:
        super().__init__(f"more than {policy.limit} requests per {policy.window_seconds} s")
        self.policy = policy
        self.retry_after_seconds = retry_after_seconds


class _Bucket:
    """What this replica holds of one caller's requests."""

    __slots__ = ("empty_until", "is_asked", "lapses_at", "tokens", "waiters")

    def __init__(self) -> None:
        self.tokens = 0
        self.lapses_at = 0.0
        self.empty_until = 0.0
        self.is_asked = False
        self.waiters: list[asyncio.Future[None]] = []


class RateLimiter:
    """Lets requests in. All but the leasing thread runs on the event loop."""

    def __init__(
        self,
        policy: RatePolicy,
        shared: TokenSource | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        shared_wait_seconds: float = SHARED_WAIT_SECONDS,
    ) -> None:
        self._shared_wait_seconds = shared_wait_seconds
        self.policy = policy
        self._shared = shared
        self._local = LocalTokens(policy)
        self._clock = clock
        self._chunk = policy.chunk
        self._low = policy.chunk // 2
        self._buckets: dict[str, _Bucket] = {}
        self._is_shared = shared is not None
        self._probe_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = threading.Condition()
        self._wants: dict[str, int] = {}
        self._is_stopping = False

    @property
    def is_shared(self) -> bool:
        """False while this replica limits by itself."""
        return self._is_shared

    def start(self) -> None:
        """Starts leasing; call it on the event loop that asks."""
        if self._shared is None or self.policy.limit == 0:
            return
        self._loop = asyncio.get_running_loop()
        # A daemon: a database that hangs must not keep the process from ending.
        threading.Thread(target=self._run, args=(self._shared, self._loop), name="rate-leases", daemon=True).start()

    def stop(self) -> None:
        """Ends leasing. What is held lapses: the shared bucket fills again by itself."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify()

    async def admit(self, bucket_id: str) -> None:
        """Returns when the request may go on. Raises: RateLimitedError."""
        if not self.admit_now(bucket_id):
            await self._admit_slowly(bucket_id, self._buckets.get(bucket_id) or self._make_bucket(bucket_id))

    def admit_now(self, bucket_id: str) -> bool:
        """True when the request may go on without asking; False, with nothing counted, when that must be asked."""
        bucket = self._buckets.get(bucket_id)
        if bucket is not None and bucket.tokens > 0 and self._clock() < bucket.lapses_at:
            bucket.tokens -= 1
            if bucket.tokens < self._low and not bucket.is_asked and self._clock() >= bucket.empty_until:
                self._ask(bucket_id, bucket)
            return True
        return self.policy.limit == 0

    async def _admit_slowly(self, bucket_id: str, bucket: _Bucket) -> None:
        deadline = self._clock() + self._shared_wait_seconds
        while True:
            now = self._clock()
            if now >= bucket.lapses_at:
                bucket.tokens = 0
            if bucket.tokens > 0:
                bucket.tokens -= 1
                return
            if now < bucket.empty_until:
                raise RateLimitedError(self.policy, max(1, math.ceil(bucket.empty_until - now)))
            self._ask(bucket_id, bucket)
            if bucket.tokens == 0 and self._is_shared:
                await self._wait(bucket, deadline - now)

    async def _wait(self, bucket: _Bucket, timeout_seconds: float) -> None:
        """Returns after the next lease, or when this replica went on by itself because there was none in time."""
        waiter = asyncio.get_running_loop().create_future()
        bucket.waiters.append(waiter)
        try:
            async with asyncio.timeout(max(timeout_seconds, 0)):
                await waiter
        except TimeoutError:
            self._go_local("no answer in time")

    def _ask(self, bucket_id: str, bucket: _Bucket) -> None:
        """Asks for as much as makes a chunk; the answer comes later, or at once while this replica limits by itself."""
        want = self._chunk - bucket.tokens
        if self._shared is not None and self._loop is not None and self._may_ask_shared(bucket):
            bucket.is_asked = True
            with self._wake:
                self._wants[bucket_id] = want
                self._wake.notify()
        if not self._is_shared or self._loop is None:
            self._take(bucket, self._local.lease({bucket_id: want})[bucket_id])

    def _may_ask_shared(self, bucket: _Bucket) -> bool:
        if self._is_shared:
            return not bucket.is_asked
        now = self._clock()
        if now < self._probe_at:
            return False
        self._probe_at = now + _PROBE_SECONDS
        return True

    def _take(self, bucket: _Bucket, lease: Lease) -> None:
        now = self._clock()
        bucket.tokens = min(self._chunk, bucket.tokens + lease.granted)
        bucket.lapses_at = now + self.policy.window_seconds
        if lease.granted == 0:
            bucket.empty_until = now + max(_EMPTY_PAUSE_SECONDS, (1 - lease.left) / self.policy.per_second)
        for waiter in bucket.waiters:
            if not waiter.done():
                waiter.set_result(None)
        bucket.waiters.clear()

    def _go_local(self, why: str) -> None:
        if self._is_shared:
            log.warning("shared rate limit does not answer, this replica limits by itself", error=why)
            self._probe_at = self._clock() + _PROBE_SECONDS
        self._is_shared = False
        for bucket in self._buckets.values():
            bucket.is_asked = False

    def _make_bucket(self, bucket_id: str) -> _Bucket:
        if len(self._buckets) >= _MAX_BUCKETS:
            self._buckets.pop(next(iter(self._buckets)))
        return self._buckets.setdefault(bucket_id, _Bucket())

    def _run(self, shared: TokenSource, loop: asyncio.AbstractEventLoop) -> None:
        """The thread: leases for all callers that asked meanwhile in one go."""
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._wants or self._is_stopping)
                if self._is_stopping:
                    return
                wants, self._wants = self._wants, {}
            try:
                leases, error = shared.lease(wants), ""
            except Exception as raised:  # noqa: BLE001 - any failure of the store means: limit without it, try again
                leases, error = {}, type(raised).__name__
            try:
                loop.call_soon_threadsafe(self._on_answer, leases, error)
            except RuntimeError:  # the loop is closed
                return

    def _on_answer(self, leases: Mapping[str, Lease], error: str) -> None:
        if error:
            self._go_local(error)
            for bucket_id, bucket in self._buckets.items():
                if bucket.waiters:
                    self._ask(bucket_id, bucket)
            return
        if not self._is_shared:
            log.info("shared rate limit answers again")
        self._is_shared = True
        for bucket_id, lease in leases.items():
            held = self._buckets.get(bucket_id)
            if held is not None:
                held.is_asked = False
                self._take(held, lease)
