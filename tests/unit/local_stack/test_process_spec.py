"""The order of starting and stopping, and the table of the real stack."""

from pathlib import Path

import pytest

from local_stack import environment, processes
from local_stack.postgres import Postgres
from local_stack.process_spec import ProcessSpec, dependents, order_by_dependency
from local_stack.settings import StackSettings


def spec(name: str, *after: str) -> ProcessSpec:
    return ProcessSpec(name, ("true",), Path("/"), after=after)


def test_what_is_waited_for_comes_first() -> None:
    specs = [spec("c", "b"), spec("a"), spec("b", "a")]
    assert [found.name for found in order_by_dependency(specs)] == ["a", "b", "c"]


def test_a_circle_is_named() -> None:
    with pytest.raises(ValueError, match=r"\['a', 'b'\]"):
        order_by_dependency([spec("a", "b"), spec("b", "a")])


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(ValueError, match="nobody"):
        order_by_dependency([spec("a", "nobody")])


def test_dependents_are_all_that_need_it_directly_or_not() -> None:
    found = dependents([spec("a"), spec("b", "a"), spec("c", "b"), spec("d")])
    assert found == {"a": {"b", "c"}, "b": {"c"}, "c": set(), "d": set()}


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    server = Postgres(tmp_path / "postgres", 1)
    server.home.mkdir()
    server.password_file.write_text("secret")
    return StackSettings(home=tmp_path)


def build(settings: StackSettings, environ: dict[str, str]) -> list[ProcessSpec]:
    stack = environment.merge(environment.compute(settings, "secret", "", processors=4), environ)
    return order_by_dependency(processes.build_table(settings, stack))


def test_the_servers_stop_last(settings: StackSettings) -> None:
    found = dependents(build(settings, {}))
    users = {"ingestion", "serving", "land_bronze", "code_server", "fork_server", "webserver", "daemon"}
    assert users <= found["postgres"]
    assert {"ingestion", "land_bronze"} <= found["broker"]


def test_an_own_kafka_and_database_are_used_instead_of_ours(settings: StackSettings) -> None:
    names = {
        found.name
        for found in build(
            settings,
            {
                "TIDEMARK_KAFKA_BOOTSTRAP_SERVERS": "broker-1:9092",
                "TIDEMARK_STORAGE_DATABASE_URL": "postgresql://me@db/tidemark",
            },
        )
    }
    assert names.isdisjoint({"broker", "postgres"})
    assert {"ingestion", "topics", "database"} <= names


def test_stopping_fits_into_twenty_seconds(settings: StackSettings) -> None:
    specs = {found.name: found for found in build(settings, {})}
    after = dependents(list(specs.values()))

    services = [name for name in specs if not specs[name].is_task]
    assert max(sum_without_tasks(specs, after, name) for name in services) <= 17


def sum_without_tasks(specs: dict[str, ProcessSpec], after: dict[str, frozenset[str]], name: str) -> float:
    """Longest way through what must stop before it; tasks are done by then."""
    others = [sum_without_tasks(specs, after, other) for other in after[name] if not specs[other].is_task]
    return specs[name].stop_timeout_seconds + max(others, default=0.0)
