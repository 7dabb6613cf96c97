"""What the API keeps in PostgreSQL, behind its protocols: the ledger, buckets of the rate limit, used keys."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from time import monotonic

import sqlalchemy as sa
from sqlalchemy import Engine

from ingestion.api.ledger import Count
from ingestion.api.rate_limit import RatePolicy
from storage.control import acknowledged, idempotency, rate_buckets

_PRUNE_SECONDS = 60.0


class PostgresLedger:
    """See ingestion.api.ledger.Ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def probe(self) -> None:
        """One round trip; replaces a connection that the server closed."""
        with self._engine.connect() as connection:
            connection.execute(sa.text("select 1"))

    def add(self, counts: Sequence[Count]) -> None:
        """One transaction."""
        acknowledged.add(self._engine, counts)


class PostgresBuckets:
    """See ingestion.api.rate_limit.TokenSource; deletes buckets that are full again once a minute."""

    def __init__(self, engine: Engine, policy: RatePolicy) -> None:
        self._engine = engine
        self._policy = policy
        self._pruned_at = monotonic()

    def lease(self, wants: Mapping[str, int]) -> dict[str, rate_buckets.Lease]:
        """One statement for all buckets."""
        policy = self._policy
        leases = rate_buckets.lease(self._engine, wants, policy.limit, policy.per_second)
        if monotonic() - self._pruned_at > _PRUNE_SECONDS:
            self._pruned_at = monotonic()
            rate_buckets.prune(self._engine, 2.0 * policy.window_seconds)
        return leases


class PostgresUsage:
    """See ingestion.api.quota.UsageReader: the acknowledgement ledger's sum, without the topics that are given."""

    def __init__(self, engine: Engine, *left_out_topics: str) -> None:
        self._engine = engine
        self._left_out_topics = left_out_topics

    def used_since(self, app_id: str, start: datetime) -> int:
        """One query over at most a day's rows of the app."""
        return acknowledged.sum_since(self._engine, app_id, start, self._left_out_topics)


class PostgresUsedKeys:
    """See ingestion.api.idempotency.UsedKeys; deletes those whose day is over once a minute."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pruned_at = monotonic()

    def find(self, app_id: str, key: str) -> str | None:
        """One query."""
        return idempotency.find(self._engine, app_id, key)

    def remember(self, app_id: str, key: str, event_id: str) -> None:
        """One statement."""
        idempotency.remember(self._engine, app_id, key, event_id)
        if monotonic() - self._pruned_at > _PRUNE_SECONDS:
            self._pruned_at = monotonic()
            idempotency.prune(self._engine)
