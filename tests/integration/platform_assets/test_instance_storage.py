"""Dagster's storage as dagster.yaml names it, on a real PostgreSQL."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.instance.ref import InstanceRef

from platform_assets.settings import PROJECT_ROOT

pytestmark = pytest.mark.integration
OURS = (  # autovacuum works in the same database
    "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    " and backend_type = 'client backend'"
)


@dg.op
def say_much(context: dg.OpExecutionContext) -> None:
    for number in range(30):
        context.log_event(dg.AssetMaterialization("thing", partition=str(number)))


@dg.job
def talkative() -> None:
    say_much()


@pytest.fixture
def instance(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("TIDEMARK_DAGSTER_DATABASE_URL", database_url)
    shutil.copy(PROJECT_ROOT / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path))) as made:
        yield made


@pytest.fixture
def watcher(database_url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(
        database_url.replace("postgresql://", "postgresql+psycopg2://"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_a_run_writes_its_events_over_few_connections(instance: dg.DagsterInstance, watcher: sa.Connection) -> None:
    assert talkative.execute_in_process(instance=instance).success
    backends = set(watcher.execute(sa.text(f"select pid {OURS}")).scalars())
    result = talkative.execute_in_process(instance=instance)
    assert result.success
    after = set(watcher.execute(sa.text(f"select pid {OURS}")).scalars())
    assert backends
    assert after == backends, "the connection that was open served everything"
    assert len(instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)) == 30


def test_a_connection_that_the_server_ended_is_replaced(instance: dg.DagsterInstance, watcher: sa.Connection) -> None:
    first = talkative.execute_in_process(instance=instance)
    ended = watcher.execute(sa.text(f"select pg_terminate_backend(pid) {OURS}")).scalars().all()
    assert ended
    assert talkative.execute_in_process(instance=instance).success
    found = instance.get_run_by_id(first.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.SUCCESS
