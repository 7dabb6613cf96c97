"""Where a stack is and which ports it takes."""

from pathlib import Path

import pytest

from local_stack.settings import PROJECT_ROOT, Ports, StackSettings


@pytest.mark.feature("S0-20")
def test_default_ports_are_the_documented_ones() -> None:
    ports = dict(Ports(0).items())
    assert {name: ports[name] for name in ("ingestion", "analytics", "dagster", "dbt_docs", "kafka", "metrics")} == {
        "ingestion": 8000,
        "analytics": 8001,
        "dagster": 3000,
        "dbt_docs": 8002,
        "kafka": 9092,
        "metrics": 9090,
    }


def test_an_offset_shifts_every_port() -> None:
    assert [port for _, port in Ports(100).items()] == [port + 100 for _, port in Ports(0).items()]


def test_neighbouring_offsets_of_a_hundred_share_no_port() -> None:
    taken = [port for offset in range(0, 500, 100) for _, port in Ports(offset).items()]
    assert len(taken) == len(set(taken))


def test_home_is_in_the_project_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TIDEMARK_HOME", raising=False)
    assert StackSettings().home == PROJECT_ROOT / ".tidemark"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDEMARK_HOME", "mine")
    assert StackSettings().home == tmp_path / "mine"


def test_two_homes_never_share_their_mark(tmp_path: Path) -> None:
    assert StackSettings(home=tmp_path / "a").home_id != StackSettings(home=tmp_path / "b").home_id
    assert StackSettings(home=tmp_path / "a").home_id == StackSettings(home=tmp_path / "a").home_id
