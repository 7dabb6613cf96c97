"""docs/MIGRATION.md names commands and settings that are there."""

import importlib
import importlib.util
import re

from ingestion.settings import IngestionSettings
from runtime.aliases import second_names
from scripts.env_example import ROOT
from serving.settings import ServingSettings
from storage.hot_store.settings import HotStoreSettings
from storage.settings import StorageSettings

TEXT = (ROOT / "docs" / "MIGRATION.md").read_text()


def test_every_command_of_ours_can_be_run() -> None:
    modules = set(re.findall(r"`python -m ((?:ingestion|streaming|serving|local_stack)[\w.]*)", TEXT))
    assert modules == {
        "ingestion.api",
        "streaming.hot_store",
        "streaming.jobs.land_bronze",
        "serving",
        "local_stack.initialise",
    }
    for name in modules:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        entry = f"{name}.__main__" if spec.submodule_search_locations else name
        assert callable(importlib.import_module(entry).main)


def test_the_table_of_names_is_what_is_read() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| `(TIDEMARK_\w+)`", TEXT, re.MULTILINE))
    names = [
        name
        for model in (StorageSettings, HotStoreSettings, IngestionSettings, ServingSettings)
        for name in second_names(model)
    ]
    assert table == {name.other: name.own for name in names}
