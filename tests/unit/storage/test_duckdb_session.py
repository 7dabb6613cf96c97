"""How DuckDB is opened."""

import sys
from importlib.abc import MetaPathFinder
from typing import Any

import pytest

from storage.duckdb_session import connect_in_memory


class Looks(MetaPathFinder):
    """Finds nothing, and notes what is looked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        """See MetaPathFinder."""
        self.names.append(fullname)


def test_binding_a_list_looks_for_no_module_per_value(monkeypatch: pytest.MonkeyPatch) -> None:
    # Regression: `tidemark verify` spent ten minutes looking for pandas, five times for each download.
    looks = Looks()
    with connect_in_memory() as session:
        session.execute("select unnest($1)", [["warm"]]).fetchall()
        monkeypatch.setattr(sys, "meta_path", [looks, *sys.meta_path])
        rows = session.execute(
            "select count(*), max(value) from (select unnest($1) as value)", [[str(n) for n in range(5000)]]
        )
        assert rows.fetchall() == [(5000, "999")]
    assert len(looks.names) < 100
