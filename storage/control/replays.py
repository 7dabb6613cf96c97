"""Requested replays and their days: what is to be rebuilt though nothing arrived, and how far that got.

A day (or each part of one that holds many records) is finished when a run has published it, or found it equal, and says so; a run that
dies leaves its days open, so that they are asked for again. What a run builds and when is decided elsewhere (`platform_assets`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from storage.control.hours import BACK_OFF_FIRST, BACK_OFF_LONGEST
from storage.control.tables import replay_days, replays

MAX_ATTEMPTS = 8
IS_ACTIVE = sa.and_(replays.c.finished_at.is_(None), replays.c.cancelled_at.is_(None))
IS_OPEN = replay_days.c.finished_at.is_(None)


class ReplayConflictError(Exception):
    """A replay cannot be resumed as it is; the message says what to do."""


@dataclass(frozen=True)
class ReplayRange:
    """What is asked for: whole UTC hours from `first_hour` to before `end_hour`, of an app and a type of event where named."""

    first_hour: datetime
    end_hour: datetime
    app_id: str = ""
    event_type: str = ""


@dataclass(frozen=True)
class PlannedDay:
    """Hours of one UTC day to rebuild together, and the bronze records in them. A day with many records comes in parts."""

    day: date
    hours: tuple[datetime, ...]
    row_count: int


@dataclass(frozen=True)
class ReplayDay:
    """A day of a replay, or part of one, and what became of it. `publication_id` is None where it is finished and nothing differed."""

    replay_id: int
    day: date
    hours: tuple[datetime, ...]
    row_count: int
    attempts: int
    next_attempt_at: datetime | None
    blocked_by: str | None
    finished_at: datetime | None
    publication_id: int | None
    last_run_id: str | None


@dataclass(frozen=True)
class Replay:
    """A request with its days, ascending."""

    replay_id: int
    range: ReplayRange
    requested_at: datetime
    cancelled_at: datetime | None
    finished_at: datetime | None
    days: tuple[ReplayDay, ...]

    @property
    def state(self) -> str:
        """running, done, failed (days are left that were tried too often) or cancelled."""
        if self.cancelled_at is not None:
            return "cancelled"
        if self.finished_at is None:
            return "running"
        return "failed" if self.open_days else "done"

    @property
    def open_days(self) -> tuple[ReplayDay, ...]:
        """Days that are not rebuilt yet."""
        return tuple(day for day in self.days if day.finished_at is None)

    @property
    def day_counts(self) -> tuple[int, int]:
        """Days that are rebuilt whole, and all of them."""
        every = {day.day for day in self.days}
        return len(every - {day.day for day in self.open_days}), len(every)

    @property
    def publication_ids(self) -> tuple[int, ...]:
        """What it has published, ascending: nothing with unchanged code and input."""
        return tuple(sorted({day.publication_id for day in self.days if day.publication_id is not None}))


def request(engine: Engine, wanted: ReplayRange, days: Sequence[PlannedDay]) -> tuple[int, bool]:
    """The id of the replay, and whether it is new: an active one of the same range is the same one. Nothing is built here."""
    values = {
        "first_hour": wanted.first_hour,
        "end_hour": wanted.end_hour,
        "app_id": wanted.app_id,
        "event_type": wanted.event_type,
    }
    with engine.begin() as connection:
        statement = insert(replays).values(**values).on_conflict_do_nothing().returning(replays.c.replay_id)
        replay_id = connection.execute(statement).scalar()
        if replay_id is None:
            same = sa.and_(*(replays.c[name] == value for name, value in values.items()))
            found = connection.execute(sa.select(replays.c.replay_id).where(IS_ACTIVE, same)).scalar()
            # One that ended between the two statements is no longer in the way.
            return (int(found), False) if found is not None else request(engine, wanted, days)
        rows = [
            {
                "replay_id": replay_id,
                "day": day.day,
                "first_hour_of_day": day.hours[0].hour,
                "hours": [hour.hour for hour in day.hours],
                "row_count": day.row_count,
            }
            for day in days
        ]
        if rows:
            connection.execute(insert(replay_days), rows)
        _close_if_over(connection, replay_id)
    return int(replay_id), True


def find(engine: Engine, replay_id: int) -> Replay | None:
    """The replay with its days; None when there is none of that id."""
    found = _read(engine, replays.c.replay_id == replay_id)
    return found[0] if found else None


def listing(engine: Engine, limit: int = 20) -> list[Replay]:
    """Replays, newest first."""
    newest = sa.select(replays.c.replay_id).order_by(replays.c.replay_id.desc()).limit(limit)
    return _read(engine, replays.c.replay_id.in_(newest))


def list_active(engine: Engine) -> list[Replay]:
    """Replays that are neither finished nor cancelled, newest first."""
    return _read(engine, IS_ACTIVE)


def _read(engine: Engine, condition: sa.ColumnElement[bool]) -> list[Replay]:
    with engine.connect() as connection:
        heads = connection.execute(sa.select(replays).where(condition).order_by(replays.c.replay_id.desc())).all()
        wanted = replay_days.c.replay_id.in_([head.replay_id for head in heads])
        rows = (
            connection.execute(
                sa.select(replay_days).where(wanted).order_by(replay_days.c.day, replay_days.c.first_hour_of_day)
            ).all()
            if heads
            else []
        )
    by_replay: dict[int, list[ReplayDay]] = {}
    for row in rows:
        by_replay.setdefault(row.replay_id, []).append(
            ReplayDay(
                replay_id=row.replay_id,
                day=row.day,
                hours=_hours(row.day, row.hours),
                row_count=row.row_count,
                attempts=row.attempts,
                next_attempt_at=row.next_attempt_at,
                blocked_by=row.blocked_by,
                finished_at=row.finished_at,
                publication_id=row.publication_id,
                last_run_id=row.last_run_id,
            )
        )
    return [
        Replay(
            head.replay_id,
            ReplayRange(head.first_hour, head.end_hour, head.app_id, head.event_type),
            head.requested_at,
            head.cancelled_at,
            head.finished_at,
            tuple(by_replay.get(head.replay_id, [])),
        )
        for head in heads
    ]


def begin(engine: Engine, replay_id: int, hours: Iterable[datetime], run_id: str) -> set[datetime]:
    """Those of the hours that are still to rebuild, their days (or parts) with one more attempt; none of a replay that is over."""
    active = sa.select(replays.c.replay_id).where(replays.c.replay_id == replay_id, IS_ACTIVE)
    statement = (
        sa.update(replay_days)
        .where(_holding(replay_id, hours), IS_OPEN, replay_days.c.replay_id.in_(active))
        .values(attempts=replay_days.c.attempts + 1, last_run_id=run_id)
        .returning(replay_days.c.day, replay_days.c.hours)
    )
    with engine.begin() as connection:
        return {hour for row in connection.execute(statement) for hour in _hours(row.day, row.hours)}


def finish(
    engine: Engine,
    replay_id: int,
    hours: Iterable[datetime],
    *,
    publication_id: int | None,
    bronze_version: int,
    run_id: str,
) -> None:
    """Notes that the hours are rebuilt; the replay ends with its last ones. Idempotent: what is finished stays as it is."""
    statement = (
        sa.update(replay_days)
        .where(_holding(replay_id, hours), IS_OPEN)
        .values(
            finished_at=sa.func.now(),
            publication_id=publication_id,
            bronze_version=bronze_version,
            blocked_by=None,
            next_attempt_at=None,
            last_run_id=run_id,
        )
    )
    with engine.begin() as connection:
        connection.execute(statement)
        _close_if_over(connection, replay_id)


def fail(engine: Engine, replay_id: int, hours: Iterable[datetime], blocked_by: str, now: datetime) -> None:
    """Names what stopped the hours and when they are tried again: after 15 s, doubled each time, at most 15 min, eight times."""
    with engine.begin() as connection:
        rows = connection.execute(
            sa.select(replay_days.c.day, replay_days.c.first_hour_of_day, replay_days.c.attempts)
            .where(_holding(replay_id, hours), IS_OPEN)
            .with_for_update()
        ).all()
        for row in rows:
            wait: timedelta = min(BACK_OFF_FIRST * 2 ** max(row.attempts - 1, 0), BACK_OFF_LONGEST)
            connection.execute(
                sa.update(replay_days)
                .where(_holding(replay_id, _hours(row.day, [row.first_hour_of_day])))
                .values(blocked_by=blocked_by, next_attempt_at=now + wait)
            )
        _close_if_over(connection, replay_id)


def close_exhausted(engine: Engine) -> None:
    """Ends active replays that have no day left to try. Call it only while no run of theirs is under way."""
    with engine.begin() as connection:
        for replay_id in connection.execute(sa.select(replays.c.replay_id).where(IS_ACTIVE)).scalars().all():
            _close_if_over(connection, replay_id)


def cancel(engine: Engine, replay_id: int) -> bool:
    """True when an active replay was cancelled. A build that is under way ends by itself; no further one begins."""
    statement = sa.update(replays).where(replays.c.replay_id == replay_id, IS_ACTIVE).values(cancelled_at=sa.func.now())
    with engine.begin() as connection:
        return connection.execute(statement).rowcount == 1


def resume(engine: Engine, replay_id: int) -> bool:
    """True when a cancelled or failed replay goes on: finished days stay finished, the others may be tried anew.

    Raises:
        ReplayConflictError: another replay of the same range is active.
    """
    left = sa.select(replay_days.c.day).where(replay_days.c.replay_id == replay_id, IS_OPEN)
    again = sa.update(replays).where(replays.c.replay_id == replay_id, sa.not_(IS_ACTIVE), left.exists())
    try:
        with engine.begin() as connection:
            if not connection.execute(again.values(cancelled_at=None, finished_at=None)).rowcount:
                return False
            connection.execute(
                sa.update(replay_days)
                .where(replay_days.c.replay_id == replay_id, IS_OPEN)
                .values(attempts=0, next_attempt_at=None, blocked_by=None)
            )
            return True
    except sa.exc.IntegrityError as error:
        raise ReplayConflictError(
            f"Replay {replay_id} cannot go on: another one of the same range is active. Cancel that one first."
        ) from error


def _holding(replay_id: int, hours: Iterable[datetime]) -> sa.ColumnElement[bool]:
    """The days, or parts of them, that begin with one of the hours: a run holds them whole."""
    given = list(hours)
    # As arrays: PostgreSQL nests a list of pairs, too deep for a year of hours.
    firsts = (
        sa.func.unnest(
            sa.cast([hour.date() for hour in given], sa.ARRAY(sa.Date)),
            sa.cast([hour.hour for hour in given], sa.ARRAY(sa.SmallInteger)),
        )
        .table_valued("day", "hour")
        .render_derived()
    )
    beginning = sa.tuple_(replay_days.c.day, replay_days.c.first_hour_of_day).in_(
        sa.select(firsts.c.day, firsts.c.hour)
    )
    return sa.and_(replay_days.c.replay_id == replay_id, beginning)


def _hours(day: date, numbers: Iterable[int]) -> tuple[datetime, ...]:
    return tuple(datetime(day.year, day.month, day.day, number, tzinfo=UTC) for number in numbers)


def _close_if_over(connection: Connection, replay_id: int) -> None:
    """A replay is over when every day is finished or was tried as often as days are tried."""
    left = sa.select(replay_days.c.day).where(
        replay_days.c.replay_id == replay_id, IS_OPEN, replay_days.c.attempts < MAX_ATTEMPTS
    )
    connection.execute(
        sa.update(replays)
        .where(replays.c.replay_id == replay_id, IS_ACTIVE, ~left.exists())
        .values(finished_at=sa.func.now())
    )
