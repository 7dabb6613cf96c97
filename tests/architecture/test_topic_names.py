"""Topics are named by the settings: no other code knows a name, and no SQL."""

import re
from pathlib import Path

import pytest

from ingestion.contracts.topics import DOWNLOADS_TOPIC, TopicNames
from scripts.env_example import ROOT

PACKAGES = ("ingestion", "streaming", "storage", "platform_assets", "serving", "local_stack", "cli", "runtime")
HOLDERS = {Path("ingestion/contracts/topics.py"), Path("storage/settings.py")}
# A name between quotes, or one of the constants. The bridge's group has the downloads topic's default name in its own.
NAMED = re.compile(
    "|".join([rf"""['"]{re.escape(name)}['"]""" for name in TopicNames().by_role.values()])
    + r"|\b(?:LIVE|IMPORT|DEAD_LETTER|DOWNLOADS)_TOPIC\b"
)


def sources() -> list[Path]:
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.suffix in (".py", ".sql")]
    models = [
        path
        for folder in ("models", "macros", "tests", "plugins")
        for path in (ROOT / "dbt_project" / folder).rglob("*")
    ]
    return [path.relative_to(ROOT) for path in [*found, *models] if path.suffix in (".py", ".sql", ".yml")]


@pytest.mark.feature("S0-4")
def test_only_the_settings_know_the_names_of_topics() -> None:
    files = sources()
    assert len(files) > 200
    assert set(files) >= HOLDERS
    assert DOWNLOADS_TOPIC in (ROOT / "ingestion/contracts/topics.py").read_text()
    knowing = {path for path in files if NAMED.search((ROOT / path).read_text())}
    assert knowing == HOLDERS
