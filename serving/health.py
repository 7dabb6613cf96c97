"""Whether the analytics API can do its work: the database, the lake at the newest publication, and the state of publication itself.

healthy and degraded answer 200, unhealthy 503. Degraded: answers are right but old or blocked from getting newer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import sqlalchemy as sa
from pydantic import BaseModel, Field
from sqlalchemy import Engine

from serving.errors import ServingError
from serving.queries import read_sql
from serving.snapshots import SnapshotPool
from storage import publication_state
from storage.publications import Publication

Status = Literal["healthy", "degraded", "unhealthy"]
SEVERITY: dict[Status, int] = {"healthy": 0, "degraded": 1, "unhealthy": 2}


class Check(BaseModel):
    """One thing that was tried."""

    status: Status = Field(examples=["healthy"])
    detail: str = Field(examples=["published 14 min ago; hour 2026-01-05 10:00 blocked by check event_ids_are_unique"])
    duration_ms: float = Field(examples=[1.4])


class Health(BaseModel):
    """The worst of the checks, and each of them."""

    status: Status = Field(examples=["healthy"])
    service: str = "analytics"
    version: str = Field(examples=["0.1.0"])
    timestamp: datetime
    database: Literal["connected", "disconnected"]
    publication: int | None = Field(description="The publication that readers get.", examples=[7])
    as_of: datetime | None
    checks: dict[str, Check]


@dataclass(frozen=True)
class HealthChecker:
    """Runs the checks. Blocking: call it in a thread."""

    engine: Engine
    pool: SnapshotPool
    version: str

    def check(self) -> Health:
        """All checks, now."""
        postgres = _timed(self._check_postgres)
        is_connected = postgres.status == "healthy"
        checks = {"postgres": postgres, "lake": _timed(self._check_lake)}
        if is_connected:
            checks["publication"] = _timed(self._check_publication)
        worst = max((check.status for check in checks.values()), key=SEVERITY.__getitem__)
        newest = self._newest()
        return Health(
            status=worst,
            version=self.version,
            timestamp=datetime.now(UTC),
            database="connected" if is_connected else "disconnected",
            publication=newest.publication_id if newest else None,
            as_of=newest.published_at if newest else None,
            checks=checks,
        )

    def timed_out(self, after_seconds: float) -> Health:
        """What is told when the checks hang."""
        check = Check(
            status="unhealthy", detail=f"no answer within {after_seconds:g} s", duration_ms=after_seconds * 1000
        )
        newest = self.pool.newest_seen
        return Health(
            status="unhealthy",
            version=self.version,
            timestamp=datetime.now(UTC),
            database="disconnected",
            publication=newest.publication_id if newest else None,
            as_of=newest.published_at if newest else None,
            checks={"all": check},
        )

    def _newest(self) -> Publication | None:
        try:
            return self.pool.newest()
        except ServingError:
            return None

    def _check_postgres(self) -> tuple[Status, str]:
        try:
            with self.engine.connect() as connection:
                connection.execute(sa.text("select 1"))
        except sa.exc.SQLAlchemyError as error:
            return "unhealthy", f"the database does not answer ({type(error).__name__})"
        return "healthy", "answers"

    def _check_lake(self) -> tuple[Status, str]:
        try:
            newest = self.pool.newest()
            if newest is None:
                return "healthy", "nothing is published yet: answers are empty"
            self.pool.fetch(newest, read_sql("probe"), {})
        except ServingError as error:
            return "unhealthy", str(error)
        return "healthy", f"publication {newest.publication_id} (snapshot {newest.snapshot_id}) is readable"

    def _check_publication(self) -> tuple[Status, str]:
        try:
            state = publication_state.read(self.engine)
        except sa.exc.SQLAlchemyError as error:
            return "degraded", f"the state of publication cannot be read ({type(error).__name__})"
        return ("degraded" if state.blocked else "healthy"), state.summary


def _timed(check: Callable[[], tuple[Status, str]]) -> Check:
    started = time.perf_counter()
    status, detail = check()
    return Check(status=status, detail=detail, duration_ms=round((time.perf_counter() - started) * 1000, 2))
