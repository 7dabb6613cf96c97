"""The journal of redrives in PostgreSQL: written twice, it says the same; a record is redriven once; one redrive at a time."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from ingestion.contracts.quarantine import Coordinates
from storage.control import make_engine, migrate, redrives
from storage.control.redrives import Outcome, RedriveRunningError
from storage.control.tables import redrive_outcomes
from storage.settings import StorageSettings
from tests.fixtures.revisions import downgrade_below

pytestmark = [pytest.mark.integration, pytest.mark.feature("S2-5")]
PLACE = Coordinates("events.dlq.v1", 0, 7)


@pytest.fixture
def engine(storage_settings: StorageSettings) -> Iterator[Engine]:
    engine = make_engine(storage_settings, pool_size=2)
    yield engine
    engine.dispose()


def begin(engine: Engine, name: str) -> None:
    redrives.begin(engine, name, {"reasons": ["missing_field"]}, None, "events.raw.v1", {0: 5, 1: 9})


def test_outcomes_written_twice_are_there_once_and_a_record_is_redriven_by_one_request(engine: Engine) -> None:
    for name in ("first", "second"):
        begin(engine, name)
        for _ in range(2):
            redrives.note(engine, name, [Outcome(PLACE, "redriven", "missing_field", None, "e-1")])
    with engine.connect() as connection:
        rows = connection.execute(sa.select(redrive_outcomes.c.request_id)).scalars().all()
    assert rows == ["first"]
    assert redrives.redriven(engine) == {PLACE: "e-1"}


def test_a_request_is_unfinished_until_it_is_closed(engine: Engine) -> None:
    begin(engine, "died")
    begin(engine, "done")
    redrives.finish(engine, "done", {"selected": 0}, is_complete=True)
    assert [(item.request_id, item.starting_offsets) for item in redrives.unfinished(engine)] == [
        ("died", {0: 5, 1: 9})
    ]
    redrives.finish(engine, "died", {}, is_complete=False)
    assert redrives.unfinished(engine) == []


def test_there_is_one_redrive_at_a_time(engine: Engine, storage_settings: StorageSettings) -> None:
    other = make_engine(storage_settings, pool_size=1)
    with redrives.only_redrive(engine), pytest.raises(RedriveRunningError), redrives.only_redrive(other):
        pass
    with redrives.only_redrive(other):
        pass
    other.dispose()


def test_the_revision_goes_both_ways(engine: Engine, storage_settings: StorageSettings) -> None:
    exists = sa.text("select to_regclass('control.redrive_outcomes') is not null")
    downgrade_below(storage_settings, "redrives")
    with engine.connect() as connection:
        assert not connection.execute(exists).scalar()
    migrate(storage_settings)
    with engine.connect() as connection:
        assert connection.execute(exists).scalar()
