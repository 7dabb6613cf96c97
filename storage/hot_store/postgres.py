"""The hot store in PostgreSQL: one table, partitioned by UTC day of occurred_at, in the schema `hot`.

A write is one round trip and one transaction of the server's own: it takes the writers' lock, leaves out what any kept day already has,
and inserts the rest. So a key is there once whatever its copies say about their time, and a client that stops in the middle holds
nothing. The lock costs little: writers send batches, and a batch of 1,000 takes some 0.1 s.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Engine, create_engine

from storage.control.engine import sqlalchemy_url
from storage.hot_store import partitions
from storage.hot_store.errors import StoreUnavailableError, UnstorableError
from storage.hot_store.events import ExpiredDay, HotEvent, HotKey, Position

DAYS_AHEAD = 2
STATEMENT_TIMEOUT_SECONDS = 8
_WRITERS_LOCK = 7_401_005  # any constant that nothing else locks
_NO_PARTITION = "23514"  # check_violation: "no partition of relation … found for row"
# What the server says about the rows themselves: bad values (22), broken rules (23), beyond a limit (54).
_ABOUT_THE_ROWS = ("22", "23", "54")
_COLUMNS = {
    "app_id": "text",
    "event_id": 'text collate "C"',  # as the table's: lists are in byte order
    "event_type": "text",
    "user_id": "text",
    "occurred_at": "timestamptz",
    "received_at": "timestamptz",
    "contract": "text",
    "body": "text",
    "kafka_partition": "integer",
    "kafka_offset": "bigint",
}
_NAMES = ", ".join(_COLUMNS)
# The probe is a lateral with a limit, so that it is an index lookup per event and partition; any join might read whole partitions.
# One JSON document is as fast as COPY into a temporary table (15,000 rows/s both), and needs no second statement from the client.
_WRITE = f"""
select pg_advisory_xact_lock({_WRITERS_LOCK});
insert into hot.events ({_NAMES})
select incoming.*
from json_to_recordset(%(events)s) as incoming({", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())})
left join lateral (
    select true as is_known from hot.events as known
    where known.app_id = incoming.app_id and known.event_id = incoming.event_id limit 1
) as probe on true
where probe.is_known is null
on conflict do nothing
"""
_AFTER = " and occurred_at <= :occurred_at and (occurred_at < :occurred_at or event_id > :event_id)"
_ORDER = " order by occurred_at desc, event_id limit :limit"


class PostgresHotStore:
    """See HotStore. The table is Alembic's; its partitions are this one's."""

    def __init__(self, database_url: str, *, pool_size: int = 4) -> None:
        self._engine = _make_engine(database_url, pool_size)
        # One statement, one round trip: no transaction around it.
        self._direct = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._days: set[date] = set()

    def prepare(self) -> None:
        """Makes the partitions of today and the next days."""
        today = datetime.now(UTC).date()
        with _errors():
            self._ensure({today + timedelta(days=ahead) for ahead in range(-1, DAYS_AHEAD + 1)})

    def write(self, events: Sequence[HotEvent]) -> int:
        """See HotStore."""
        if not events:
            return 0
        days = {event.occurred_at.astimezone(UTC).date() for event in events}
        with _errors():
            if not days <= self._days:
                self._ensure(days)
            try:
                return self._insert(events)
            except sa.exc.IntegrityError as error:
                if getattr(error.orig, "pgcode", None) != _NO_PARTITION:
                    raise
                # Retention dropped one that this process knew.
                self._days.clear()
                self._ensure(days)
                return self._insert(events)

    def holds(self, app_id: str, event_id: str) -> bool:
        """See HotStore."""
        if "\0" in app_id + event_id:
            return False  # no text in PostgreSQL has one
        query = sa.text("select 1 from hot.events where app_id = :app_id and event_id = :event_id limit 1")
        with _errors(), self._direct.connect() as connection:
            return connection.execute(query, {"app_id": app_id, "event_id": event_id}).first() is not None

    def latest(self, app_id: str, limit: int, after: Position | None = None) -> list[HotEvent]:
        """See HotStore."""
        return self._list("", {"app_id": app_id}, limit, after)

    def by_type(self, app_id: str, event_type: str, limit: int, after: Position | None = None) -> list[HotEvent]:
        """See HotStore."""
        return self._list(" and event_type = :event_type", {"app_id": app_id, "event_type": event_type}, limit, after)

    def by_user(self, app_id: str, user_id: str, limit: int, after: Position | None = None) -> list[HotEvent]:
        """See HotStore."""
        return self._list(" and user_id = :user_id", {"app_id": app_id, "user_id": user_id}, limit, after)

    def keys(self, since: datetime, until: datetime) -> Iterator[HotKey]:
        """See HotStore."""
        query = sa.text(
            "select app_id, event_id, kafka_partition, kafka_offset, occurred_at from hot.events"
            " where occurred_at >= :since and occurred_at < :until"
        )
        with _errors(), self._engine.connect() as connection:
            connection.exec_driver_sql("set local statement_timeout = 0")
            values = {"since": since, "until": until}
            for row in connection.execute(query, values, execution_options={"yield_per": 10_000}):
                yield HotKey(*row)

    def expired(self, before: date) -> list[ExpiredDay]:
        """See HotStore."""
        with _errors():
            return partitions.count_expired(self._engine, before)

    def expire(self, before: date) -> list[ExpiredDay]:
        """See HotStore."""
        with _errors():
            return partitions.drop_expired(self._engine, before)

    def close(self) -> None:
        """See HotStore."""
        self._engine.dispose()

    def _ensure(self, days: set[date]) -> None:
        self._days = partitions.ensure_days(self._engine, days)

    def _insert(self, events: Sequence[HotEvent]) -> int:
        document = msgspec.json.encode([_as_row(event) for event in events]).decode()
        with self._direct.connect() as connection:
            return int(connection.exec_driver_sql(_WRITE, {"events": document}).rowcount)

    def _list(self, where: str, values: dict[str, Any], limit: int, after: Position | None) -> list[HotEvent]:
        if any("\0" in value for value in values.values()):
            return []  # no text in PostgreSQL has one
        if after is not None:
            where += _AFTER
            values |= {"occurred_at": after.occurred_at, "event_id": after.event_id}
        query = sa.text(f"select {_NAMES} from hot.events where app_id = :app_id{where}{_ORDER}")
        with _errors(), self._direct.connect() as connection:
            rows = connection.execute(query, {**values, "limit": limit}).all()
        return [_as_event(row) for row in rows]


def _make_engine(database_url: str, pool_size: int) -> Engine:
    # Small partitions tempt the planner to read them whole, and they grow before it looks again.
    options = (
        f"-c timezone=UTC -c enable_seqscan=off -c jit=off -c statement_timeout={STATEMENT_TIMEOUT_SECONDS}s"
        f" -c lock_timeout={STATEMENT_TIMEOUT_SECONDS}s -c idle_in_transaction_session_timeout=60s"
    )
    return create_engine(
        sqlalchemy_url(database_url),
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=5,
        connect_args={"connect_timeout": 3, "application_name": "tidemark-hot-store", "options": options},
    )


@contextmanager
def _errors() -> Iterator[None]:
    """The driver's errors as ours."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        code = str(getattr(error.orig, "pgcode", None) or "")
        text = str(error.orig).partition("\n")[0]
        if code[:2] in _ABOUT_THE_ROWS and code != _NO_PARTITION:
            raise UnstorableError(f"PostgreSQL refuses the events ({code}): {text}") from error
        raise StoreUnavailableError(f"PostgreSQL: {text or type(error.orig).__name__}") from error
    except sa.exc.TimeoutError as error:
        raise StoreUnavailableError("PostgreSQL: no free connection") from error


def _as_row(event: HotEvent) -> dict[str, object]:
    return {
        "app_id": event.app_id,
        "event_id": event.event_id,
        "event_type": event.event_type,
        "user_id": event.user_id,
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        "contract": event.contract,
        "body": event.body.decode(),
        "kafka_partition": event.kafka_partition,
        "kafka_offset": event.kafka_offset,
    }


def _as_event(row: sa.Row[Any]) -> HotEvent:
    return HotEvent(
        row.app_id,
        row.event_id,
        row.event_type,
        row.user_id,
        row.occurred_at,
        row.received_at,
        row.contract,
        row.body.encode(),
        row.kafka_partition,
        row.kafka_offset,
    )
