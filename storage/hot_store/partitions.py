"""Daily partitions of `hot.events` in PostgreSQL: made ahead, made when a batch needs one, and dropped when they are too old.

A partition is made apart and then attached, which holds up neither readers nor writers. Every change is made under one advisory lock, so
that workers may ask for the same day at the same moment.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from storage.hot_store.events import ExpiredDay

SCHEMA = "hot"
_PREFIX = "events_"
_FORMAT = f"{_PREFIX}%Y%m%d"
_LOCK = 7_401_004  # any constant that nothing else locks
# A drop waits for the readers of the table, and everybody else behind it: not for long, it is tried again later.
_DROP_LOCK_TIMEOUT = "3s"
_LIST = sa.text(
    "select child.relname from pg_inherits join pg_class child on child.oid = inhrelid"
    " where inhparent = to_regclass('hot.events') order by 1"
)


def partition_name(day: date) -> str:
    """`events_20260105`."""
    return day.strftime(_FORMAT)


def existing_days(connection: Connection) -> list[date]:
    """Days that have a partition, oldest first."""
    names = connection.execute(_LIST).scalars()
    return sorted(datetime.strptime(name, _FORMAT).date() for name in names if name.startswith(_PREFIX))


def ensure_days(engine: Engine, days: Iterable[date]) -> set[date]:
    """Makes the partitions that are missing; all days that have one now. Idempotent."""
    wanted = set(days)
    with engine.begin() as connection:
        existing = set(existing_days(connection))
        if wanted <= existing:
            return existing
        connection.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        for day in sorted(wanted - set(existing_days(connection))):
            name = partition_name(day)
            connection.exec_driver_sql(f"create table {SCHEMA}.{name} (like {SCHEMA}.events including defaults)")
            connection.exec_driver_sql(
                f"alter table {SCHEMA}.events attach partition {SCHEMA}.{name}"
                f" for values from ('{day} 00:00:00+00') to ('{day + timedelta(days=1)} 00:00:00+00')"
            )
        return existing | wanted


def count_expired(engine: Engine, before: date) -> list[ExpiredDay]:
    """The partitions before a day, oldest first, with their rows counted."""
    with engine.connect() as connection:
        return [ExpiredDay(day, _count(connection, day)) for day in existing_days(connection) if day < before]


def drop_expired(engine: Engine, before: date) -> list[ExpiredDay]:
    """Drops the partitions before a day; what they had. One transaction each: what is dropped when one fails stays dropped."""
    removed = []
    with engine.connect() as connection:
        days = [day for day in existing_days(connection) if day < before]
    for day in days:
        with engine.begin() as connection:
            connection.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            if day not in existing_days(connection):
                continue  # another one was faster
            connection.exec_driver_sql(f"set local lock_timeout = '{_DROP_LOCK_TIMEOUT}'")
            count = _count(connection, day)
            connection.exec_driver_sql(f"drop table {SCHEMA}.{partition_name(day)}")
        removed.append(ExpiredDay(day, count))
    return removed


def _count(connection: Connection, day: date) -> int:
    connection.exec_driver_sql("set local statement_timeout = 0")  # a day may be long to count
    return int(connection.exec_driver_sql(f"select count(*) from {SCHEMA}.{partition_name(day)}").scalar_one())
