"""Token buckets that replicas share: one row per bucket, from which requests are leased in chunks.

A lease is one statement for any number of buckets. It grants what is asked for as far as the bucket has it, whole requests only, and is
atomic per bucket: the row is locked, filled up for the time that passed by the database's clock, and taken from. Who leases and how
much is not decided here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Engine

from storage.control.tables import rate_buckets

# The moment is read before rows are waited for; what passed meanwhile counts at the next lease, and never twice.
_LEASE = sa.text(
    """
    insert into control.rate_buckets as bucket (bucket_id, tokens, granted, refreshed_at)
    select asked.bucket_id, :capacity - least(asked.want, :capacity), least(asked.want, :capacity), moment.at
    from unnest(cast(:bucket_ids as text[]), cast(:wants as integer[])) as asked (bucket_id, want),
         (select clock_timestamp() as at) as moment
    order by asked.bucket_id
    on conflict (bucket_id) do update set (tokens, granted, refreshed_at) = (
        select given.available - given.count, given.count, greatest(bucket.refreshed_at, excluded.refreshed_at)
        from (
            select filled.available, least(excluded.granted, floor(filled.available))::integer as count
            from (
                select least(
                    :capacity,
                    bucket.tokens
                    + :per_second * greatest(0, extract(epoch from excluded.refreshed_at - bucket.refreshed_at))
                ) as available
            ) as filled
        ) as given
    )
    returning bucket_id, granted, tokens
    """
)


@dataclass(frozen=True)
class Lease:
    """Requests that may be let in, and what the bucket still holds: a fraction below one when it could not give all."""

    granted: int
    left: float


def lease(engine: Engine, wants: Mapping[str, int], capacity: int, per_second: float) -> dict[str, Lease]:
    """Bucket → lease, for every bucket of `wants`. A bucket that was never used is full."""
    if not wants:
        return {}
    values = {
        "bucket_ids": list(wants),
        "wants": list(wants.values()),
        "capacity": float(capacity),
        "per_second": per_second,
    }
    with engine.begin() as connection:
        # What a crash of the server forgets is at most its last second of leases; nobody waits for its disk.
        connection.execute(sa.text("set local synchronous_commit = off"))
        return {row.bucket_id: Lease(row.granted, row.tokens) for row in connection.execute(_LEASE, values)}


def prune(engine: Engine, unused_seconds: float) -> int:
    """Deletes the buckets that nobody leased from for so long that they are full again, and tells how many."""
    unused = rate_buckets.c.refreshed_at < sa.func.now() - sa.func.make_interval(0, 0, 0, 0, 0, 0, unused_seconds)
    with engine.begin() as connection:
        return connection.execute(sa.delete(rate_buckets).where(unused)).rowcount
