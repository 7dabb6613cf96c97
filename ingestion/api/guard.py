"""Whether a request may go on, before its body is read: who sends it, and whether it sent too much.

The usual case asks nobody: key, bucket and quota are known in memory. Answers to refused requests carry Retry-After and the RateLimit
fields of draft-ietf-httpapi-ratelimit-headers; others carry none, they would cost as much as the check itself.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from starlette.datastructures import Headers

from ingestion.api.auth import Authenticator, Caller
from ingestion.api.errors import ErrorCode, RequestError
from ingestion.api.quota import DailyQuota, QuotaExceededError
from ingestion.api.rate_limit import RateLimitedError, RateLimiter, RatePolicy


class Guard:
    """Authenticates and limits."""

    def __init__(
        self, authenticator: Authenticator, limiter: RateLimiter, quota: DailyQuota, clock: Callable[[], datetime]
    ) -> None:
        self._authenticator = authenticator
        self._limiter = limiter
        self._quota = quota
        self._clock = clock

    async def admit(self, headers: Headers, address: str) -> Caller:
        """The caller, when it may send. `address` is the client's, for callers without a valid key. Raises: RequestError."""
        try:
            caller = await self._authenticator.identify(headers, address)
        except RequestError as error:
            if error.status == 401:
                # Guessing keys is limited too.
                await self._limit(f"refused/{address}")
            raise
        await self._limit(caller.bucket_id)
        if self._quota.max_events:
            try:
                await self._quota.assure(caller.app_id, self._clock())
            except QuotaExceededError as error:
                raise RequestError(
                    ErrorCode.QUOTA_EXCEEDED,
                    f"{error}; the next begins in {error.retry_after_seconds} s",
                    {"Retry-After": str(error.retry_after_seconds)},
                ) from None
        return caller

    def admit_known(self, credentials: Mapping[str, str], address: str) -> Caller | None:
        """As `admit`, for a caller that is let in by what is in memory; None, with nothing counted, for every other."""
        caller = self._authenticator.recall(credentials, address)
        if (
            caller is None
            or not self._quota.is_known_open(caller.app_id, self._clock)
            or not self._limiter.admit_now(caller.bucket_id)
        ):
            return None
        return caller

    async def admit_reader(self, headers: Headers, address: str) -> None:
        """As `admit`, where a read key will do: it writes nowhere here, so it is counted by the client's address. Raises: RequestError."""
        try:
            await self.admit(headers, address)
        except RequestError as error:
            if error.code is not ErrorCode.READ_KEY:
                raise
            await self._limit(f"read/{address}")

    async def _limit(self, bucket_id: str) -> None:
        try:
            await self._limiter.admit(bucket_id)
        except RateLimitedError as error:
            raise RequestError(
                ErrorCode.RATE_LIMITED,
                f"{error}; try again in {error.retry_after_seconds} s",
                _fields(error.policy, error.retry_after_seconds),
            ) from None


def _fields(policy: RatePolicy, retry_after_seconds: int) -> dict[str, str]:
    """The header fields of a 429 for too many requests. The draft has no unit for events, so a spent quota has Retry-After alone."""
    return {
        "Retry-After": str(retry_after_seconds),
        "RateLimit-Policy": f'"requests";q={policy.limit};w={policy.window_seconds}',
        "RateLimit": f'"requests";r=0;t={retry_after_seconds}',
    }
