"""Registered experiments per app: what events of product/1 may name as their variant. Rules of change are the contracts'."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from ingestion.contracts.clocks import format_utc
from ingestion.contracts.experiments import Experiment
from storage.control.tables import experiments

Change = Literal["created", "changed", "unchanged"]
ExperimentKey = tuple[str, str]  # app id, experiment id


def read_all(engine: Engine) -> dict[ExperimentKey, Experiment]:
    """Every experiment of every app."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(experiments)).all()
    return {(row.app_id, row.experiment_id): _experiment(row) for row in rows}


def put(engine: Engine, app_id: str, new: Experiment, assure: Callable[[Experiment], None]) -> Change:
    """Keeps the experiment. Idempotent. `assure` is given what is there already and raises when that may not become `new`."""
    with engine.begin() as connection:
        if _create(connection, app_id, new):
            return "created"
        mine = (experiments.c.app_id == app_id, experiments.c.experiment_id == new.experiment_id)
        old = _experiment(connection.execute(sa.select(experiments).where(*mine).with_for_update()).one())
        if old == new:
            return "unchanged"
        assure(old)
        connection.execute(sa.update(experiments).where(*mine).values(**_values(new), updated_at=sa.func.now()))
        return "changed"


def _create(connection: Connection, app_id: str, new: Experiment) -> bool:
    """False when the app has one of this id; waits for another writer of it."""
    statement = insert(experiments).values(app_id=app_id, experiment_id=new.experiment_id, **_values(new))
    return connection.execute(statement.on_conflict_do_nothing()).rowcount > 0


def _values(experiment: Experiment) -> dict[str, Any]:
    return {
        "variants": list(experiment.variants),
        "shares": list(experiment.shares),
        "starts_at": _moment(experiment.starts_at),
        "ends_at": _moment(experiment.ends_at),
    }


def _experiment(row: Any) -> Experiment:
    starts_at, ends_at = (None if at is None else format_utc(at) for at in (row.starts_at, row.ends_at))
    return Experiment(row.experiment_id, tuple(row.variants), tuple(map(float, row.shares)), starts_at, ends_at)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
