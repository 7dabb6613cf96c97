"""When a stack's start parses the dbt project again."""

import os
from pathlib import Path

import pytest

from local_stack.initialise import manifest_is_fresh

PARSED, LATER = 1_000_000_000, 1_000_000_100


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that was parsed after its last change."""
    for name in ("dbt_project.yml", "models/orders.sql", "models/old.sql", "plugins/plugin.py", "target/manifest.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    for path in tmp_path.rglob("*"):
        os.utime(path, (PARSED - 1, PARSED - 1))
    os.utime(tmp_path / "target" / "manifest.json", (PARSED, PARSED))
    return tmp_path


def make_newer(path: Path) -> None:
    os.utime(path, (LATER, LATER))


def test_not_without_a_manifest(project: Path) -> None:
    assert manifest_is_fresh(project)
    (project / "target" / "manifest.json").unlink()
    assert not manifest_is_fresh(project)


@pytest.mark.parametrize("name", ["dbt_project.yml", "models/orders.sql"])
def test_not_after_a_change(project: Path, name: str) -> None:
    make_newer(project / name)
    assert not manifest_is_fresh(project)


def test_not_after_a_removal(project: Path) -> None:
    (project / "models" / "old.sql").unlink()
    assert not manifest_is_fresh(project)


@pytest.mark.parametrize("name", ["target/run_results.json", "plugins/__pycache__/plugin.pyc", "logs/dbt.log"])
def test_what_a_build_writes_changes_nothing(project: Path, name: str) -> None:
    path = project / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    make_newer(path)
    make_newer(path.parent)
    if path.parent.name == "__pycache__":
        make_newer(path.parent.parent)
    assert manifest_is_fresh(project)
