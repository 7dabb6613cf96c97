"""The lake's tables as the dbt project declares them: columns, key and scope, read from dbt's manifest.

dbt's yml is the only place where a column is declared; this module turns it into table specs for DDL and promotion.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Scope = Literal["event_hour", "event_date"]
CATALOG_SCHEMA = "lake_catalog"  # PostgreSQL schema of the DuckLake catalog
PUBLISHED_LAYERS = ("silver", "gold")
NUMERIC_TYPES = ("bigint", "integer", "double", "decimal", "hugeint", "smallint", "real", "ubigint")


class TableSpecError(Exception):
    """The dbt project declares a published table incompletely."""


@dataclass(frozen=True)
class TableSpec:
    """One published table. `key` identifies a row; `scope` is the column whose values a run replaces.

    `grows`: of an hour that a build adds to, the build holds only the rows that arrived or changed, and promotion leaves the others.
    """

    schema: str
    name: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    scope: Scope
    grows: bool = False

    @property
    def qualified_name(self) -> str:
        """`schema.table`, equal to the asset key."""
        return f"{self.schema}.{self.name}"

    @property
    def column_list(self) -> str:
        """The columns in contract order, quoted, for a select list."""
        return ", ".join(f'"{name}"' for name, _ in self.columns)

    @property
    def measures(self) -> tuple[str, ...]:
        """Numbers of gold that are no part of the key: what is summed to compare two states. Silver's numbers are coordinates."""
        if self.schema != "gold":
            return ()
        return tuple(
            name for name, kind in self.columns if name not in self.key and kind.lower().startswith(NUMERIC_TYPES)
        )


def load_table_specs(manifest_path: Path) -> list[TableSpec]:
    """Specs of all published models, ordered by layer and name. Raises one `TableSpecError` that lists every flaw found."""
    if not manifest_path.exists():
        raise TableSpecError(f"{manifest_path} is missing. Run `make setup`, or `dbt parse` in dbt_project.")
    nodes = json.loads(manifest_path.read_text())["nodes"].values()
    specs: list[TableSpec] = []
    flaws: list[str] = []
    for node in nodes:
        if node["resource_type"] != "model" or node["schema"] not in PUBLISHED_LAYERS:
            continue
        meta = {**node.get("meta", {}), **node["config"].get("meta", {})}
        if meta.get("published", True) is False or node["config"].get("materialized") == "ephemeral":
            continue
        name = f"{node['schema']}.{node['alias']}"
        columns = tuple((column["name"], column.get("data_type") or "") for column in node["columns"].values())
        key = tuple(meta.get("key", ()))
        scope = meta.get("scope")
        names = {column for column, _ in columns}
        if scope not in ("event_hour", "event_date"):
            flaws.append(f"{name}: meta.scope is {scope!r}, expected event_hour or event_date")
        elif not key or not set(key) <= names or scope not in names or not all(kind for _, kind in columns):
            flaws.append(f"{name}: needs meta.key and scope among its columns, and a data_type for every column")
        else:
            specs.append(TableSpec(node["schema"], node["alias"], columns, key, scope, bool(meta.get("grows", False))))
    if flaws:
        raise TableSpecError("; ".join(sorted(flaws)))
    return sorted(specs, key=lambda spec: (PUBLISHED_LAYERS.index(spec.schema), spec.name))
