"""Judges the minutes in the tables for anomalies and keeps the alerts. What is an anomaly: storage.live.anomalies.

Alerts and the mark up to which was judged change in one transaction, so that a judge that dies judges every minute once.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from storage.live.anomalies import (
    BASELINE_MINUTES,
    MINUTE,
    AnomalyJudge,
    AnomalyType,
    OpenAlert,
    Opening,
    RegionMinute,
    Resolution,
)
from storage.live.breakdowns import Breakdown
from storage.live.state import read_state
from storage.live.tables import anomalies, minutes, queries

# A minute is judged so long after its end, not when it is closed: an alert a quarter of an hour late is none.
SETTLE_SECONDS = 15
# What the judge reads again after a start, before where it goes on or before an alert that is open: baselines and streaks are then what
# they would have been. Of an alert that is open for longer than a day, what was usual before it is forgotten.
WARM_UP = timedelta(minutes=BASELINE_MINUTES + 10)
LONGEST_WARM_UP = timedelta(days=1)
# The first judge of all looks back so far.
FIRST_LOOK = timedelta(hours=2)

Change = Opening | Resolution


class AnomalyWatch:
    """Judges minute after minute of a live query. One at a time: the driver of that query."""

    def __init__(self, engine: Engine, query: str) -> None:
        self._engine = engine
        self._query = query
        self._judges: dict[str, AnomalyJudge] = {}
        self._next: datetime | None = None

    def judge_until(self, settled_at: datetime) -> list[tuple[str, Change]]:
        """Judges the minutes that ended `SETTLE_SECONDS` before `settled_at`; everything of until then must be in the tables.

        Returns what changed, by app. Judging again changes nothing.
        """
        end = (settled_at - timedelta(seconds=SETTLE_SECONDS)).replace(second=0, microsecond=0)
        if self._next is None:
            self._next = self._warm_up(end)
        if end <= self._next:
            return []
        try:
            with self._engine.begin() as connection:
                read_state(connection, self._query, lock=True)
                by_minute = _read(connection, self._next, end)
                changes: list[tuple[str, Change]] = []
                minute = self._next
                while minute < end:
                    changes += self._judge(minute, by_minute)
                    minute += MINUTE
                for app_id, change in changes:
                    _write(connection, app_id, change)
                connection.execute(sa.update(queries).where(queries.c.name == self._query).values(judged_before=end))
        except BaseException:
            # Judged, but not kept: the next call begins from what the tables say.
            self._judges.clear()
            self._next = None
            raise
        self._next = end
        return changes

    def _judge(
        self, minute: datetime, by_minute: dict[datetime, dict[str, list[RegionMinute]]]
    ) -> list[tuple[str, Change]]:
        apps = by_minute.get(minute, {})
        for app_id in apps:
            self._judges.setdefault(app_id, AnomalyJudge())
        return [
            (app_id, change)
            for app_id, judge in self._judges.items()
            for change in judge.judge(minute, apps.get(app_id, []))
        ]

    def _warm_up(self, end: datetime) -> datetime:
        """Judges what was judged before once more, keeping nothing of it but what the judges remember."""
        with self._engine.begin() as connection:
            judged_before = read_state(connection, self._query).judged_before
            first = end - FIRST_LOOK if judged_before is None else judged_before.astimezone(UTC)
            alerts = connection.execute(
                sa.select(anomalies).where(
                    sa.or_(anomalies.c.resolved_at.is_(None), anomalies.c.resolved_at > first - LONGEST_WARM_UP)
                )
            ).all()
            begun = [row.first_minute.astimezone(UTC) for row in alerts if row.resolved_at is None]
            minute = max(min([first, *begun]) - WARM_UP, first - LONGEST_WARM_UP)
            by_minute = _read(connection, minute, first)
        while minute < first:
            # Or the minutes of a long outage would be taken for what is usual.
            self._set_open(alerts, minute)
            self._judge(minute, by_minute)
            minute += MINUTE
        self._set_open(alerts, first)
        return first

    def _set_open(self, alerts: Sequence[Any], minute: datetime) -> None:
        """Has the judges know which of the alerts were open at a minute, from the first bad one to the last before they were resolved."""
        opened: dict[str, list[OpenAlert]] = defaultdict(list)
        for row in alerts:
            if row.first_minute <= minute and (row.resolved_at is None or minute < row.resolved_at):
                opened[row.app_id].append(OpenAlert(AnomalyType(row.type), row.region, row.baseline))
        for app_id in {*self._judges, *opened}:
            self._judges.setdefault(app_id, AnomalyJudge()).set_open(opened[app_id])


def _read(connection: Connection, start: datetime, end: datetime) -> dict[datetime, dict[str, list[RegionMinute]]]:
    region = minutes.c["keys"][1]
    statement = (
        sa.select(
            minutes.c.minute,
            minutes.c.app_id,
            region.label("region"),
            sa.cast(sa.func.sum(minutes.c.event_count), sa.BigInteger).label("downloads"),
            sa.cast(sa.func.sum(minutes.c.success_count), sa.BigInteger).label("successes"),
            sa.func.coalesce(sa.func.sum(minutes.c.speed_mbps), 0).label("speed"),
        )
        .where(minutes.c.breakdown == Breakdown.ERROR.value, minutes.c.minute >= start, minutes.c.minute < end)
        .group_by(minutes.c.minute, minutes.c.app_id, region)
    )
    found: dict[datetime, dict[str, list[RegionMinute]]] = defaultdict(lambda: defaultdict(list))
    for row in connection.execute(statement):
        item = RegionMinute(row.region, row.downloads, row.successes, float(row.speed))
        found[row.minute.astimezone(UTC)][row.app_id].append(item)
    return found


def _write(connection: Connection, app_id: str, change: Change) -> None:
    if isinstance(change, Resolution):
        connection.execute(
            sa.update(anomalies)
            .where(
                anomalies.c.app_id == app_id,
                anomalies.c.type == change.type.value,
                anomalies.c.region == change.region,
                anomalies.c.resolved_at.is_(None),
            )
            .values(resolved_at=change.resolved_at)
        )
        return
    connection.execute(
        insert(anomalies)
        .values(
            app_id=app_id,
            type=change.type.value,
            region=change.region,
            severity=change.severity,
            message=describe(change),
            value=change.value,
            baseline=change.baseline,
            first_minute=change.first_minute,
            opened_at=change.opened_at,
        )
        .on_conflict_do_nothing(
            index_elements=[anomalies.c.app_id, anomalies.c.type, anomalies.c.region],
            index_where=anomalies.c.resolved_at.is_(None),
        )
    )


def describe(opening: Opening) -> str:
    """The alert in one sentence."""
    if opening.type is AnomalyType.LOW_SPEED:
        return f"{opening.region}: downloads ran at {opening.value:.1f} Mbit/s for three minutes; usual are {opening.baseline:.1f}"
    return f"{opening.region}: {opening.value:.1%} of downloads succeeded for three minutes; usual are {opening.baseline:.1%}"


def list_anomalies(
    engine: Engine,
    *,
    app_id: str | None = None,
    severity: str | None = None,
    acknowledged: bool | None = None,
    limit: int = 50,
) -> Sequence[Any]:
    """Rows of live.anomalies, newest first (by opened_at, then alert_id)."""
    statement = sa.select(anomalies).order_by(anomalies.c.opened_at.desc(), anomalies.c.alert_id.desc()).limit(limit)
    if app_id is not None:
        statement = statement.where(anomalies.c.app_id == app_id)
    if severity is not None:
        statement = statement.where(anomalies.c.severity == severity)
    if acknowledged is not None:
        is_acknowledged = anomalies.c.acknowledged_at.is_not(None)
        statement = statement.where(is_acknowledged if acknowledged else ~is_acknowledged)
    with engine.connect() as connection:
        return connection.execute(statement).all()
