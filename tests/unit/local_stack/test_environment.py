"""The environment of a stack: what is computed, what the caller may change, and how it is written down."""

from pathlib import Path

import pytest

from local_stack import environment
from local_stack.settings import StackSettings


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    return StackSettings(home=tmp_path, port_offset=200)


def computed(settings: StackSettings) -> dict[str, str]:
    return environment.compute(settings, "secret", "a.jar:b.jar", processors=4)


def test_every_address_is_shifted_and_every_folder_is_below_home(settings: StackSettings) -> None:
    values = computed(settings)
    assert values["TIDEMARK_KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:9292"
    assert values["TIDEMARK_STORAGE_DATABASE_URL"] == "postgresql://tidemark:secret@127.0.0.1:5633/tidemark"
    folders = ("BRONZE_URI", "LAKE_URI", "BUILDS_DIR", "EXTENSIONS_DIR")
    assert all(values[f"TIDEMARK_STORAGE_{name}"].startswith(str(settings.home)) for name in folders)


def test_what_the_caller_set_wins(settings: StackSettings) -> None:
    own = {"TIDEMARK_KAFKA_BOOTSTRAP_SERVERS": "broker-1:9092", "HOME": "/somewhere"}
    values = environment.merge(computed(settings), own)
    assert values["TIDEMARK_KAFKA_BOOTSTRAP_SERVERS"] == "broker-1:9092"
    assert "HOME" not in values
    assert not environment.uses_own_kafka(values, settings)
    assert environment.uses_own_postgres(values, settings)


def test_values_exported_by_another_stack_are_not_the_callers_own(settings: StackSettings, tmp_path: Path) -> None:
    # Regression: after eval "$(tidemark env)", a second stack with another home would have used the first one's database.
    other = tmp_path / "other.env"
    environment.write_file(other, environment.compute(StackSettings(home=tmp_path / "other"), "x", "", processors=4))
    exported = {
        **environment.read_file(other),
        environment.ORIGIN_VARIABLE: str(other),
        "TIDEMARK_SERVING_QUERY_WORKERS": "9",
    }
    values = environment.merge(computed(settings), exported)
    assert values == {**computed(settings), "TIDEMARK_SERVING_QUERY_WORKERS": "9"}


def test_the_files_are_private_and_read_back(settings: StackSettings) -> None:
    environment.write_file(settings.environment_file, computed(settings))
    assert settings.environment_file.stat().st_mode & 0o777 == 0o600
    assert environment.read_file(settings.environment_file) == computed(settings)


def test_loading_fills_only_what_is_missing(settings: StackSettings) -> None:
    environment.write_file(settings.environment_file, computed(settings))
    environ = {"TIDEMARK_STORAGE_LAKE_URI": "s3://mine"}
    environment.load(settings, environ)
    assert environ["TIDEMARK_STORAGE_LAKE_URI"] == "s3://mine"
    assert environ["TIDEMARK_SERVING_PORT"] == "8201"


def test_exported_lines_survive_a_shell(settings: StackSettings) -> None:
    environment.write_file(settings.environment_file, {"A": "it's $HOME"})
    assert "export A='it'\"'\"'s $HOME'" in environment.export_lines(settings.environment_file)


def test_endpoints_have_exactly_the_promised_keys(settings: StackSettings) -> None:
    found = environment.endpoints(settings, computed(settings), {"write_key": "w", "read_key": "r"})
    assert list(found) == [
        "ingestion",
        "analytics",
        "dagster",
        "dbt_docs",
        "kafka",
        "database",
        "write_key",
        "read_key",
    ]


def test_processes_see_the_stack_and_nothing_of_another(settings: StackSettings) -> None:
    inherited = environment.process_environment(
        computed(settings), {"PATH": "/bin", "TIDEMARK_OTHER": "x", "LANG": "C"}
    )
    assert "TIDEMARK_OTHER" not in inherited
    assert inherited["LANG"] == "C"
    assert inherited["PATH"].endswith(":/bin")


def test_few_processors_are_spared_the_second_compiler_unless_the_caller_says_otherwise(tmp_path: Path) -> None:
    name, settings = "TIDEMARK_STREAMING_DRIVER_JAVA_OPTIONS", StackSettings(home=tmp_path)
    few, many = (environment.compute(settings, "x", "", processors=number) for number in (2, 3))
    assert (few[name], many[name]) == ("-XX:TieredStopAtLevel=1", "")
    assert environment.merge(few, {name: "-Xlog:gc"})[name] == "-Xlog:gc"
