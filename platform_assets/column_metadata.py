"""Column schema and lineage of the built tables, kept per code version, from which alone they follow.

dagster-dbt's way to them (parsing every model's SQL, an adapter to ask for types) costs five seconds of processor time (measured). So the
docs run finds them, once per code version, and builds attach what it found.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._check import CheckError
from dagster._serdes import deserialize_value, serialize_value
from dagster_dbt import DbtCliInvocation
from dagster_dbt.core import dbt_cli_event
from dagster_dbt.core.dbt_event_iterator import DbtEventIterator
from dagster_shared.serdes.errors import DeserializationError

from platform_assets.resources.dbt import OfflineDbtCliResource

if TYPE_CHECKING:
    from sqlglot.lineage import Node
    from sqlglot.schema import Schema

KEPT = ("dagster/column_schema", "dagster/column_lineage")
ByAsset = dict[dg.AssetKey, dict[str, Any]]


class ColumnMetadataFile:
    """One file per code version in a folder. Written whole or not at all; writing it twice changes nothing."""

    def __init__(self, folder: Path, code_version: str) -> None:
        self._path = folder / f"column_metadata_{code_version}.json"

    def read(self) -> ByAsset | None:
        """What an earlier run of this code found, or None; also where another version of Dagster wrote it in a way of its own."""
        try:
            kept = json.loads(self._path.read_text())
            return {dg.AssetKey.from_user_string(key): _unpack(entries) for key, entries in kept.items()}
        except (FileNotFoundError, ValueError, DeserializationError, CheckError):
            return None

    def write(self, events: Iterable[Any]) -> ByAsset:
        """Keeps what the events carry, and gives it back. Where one lacks its columns nothing is kept."""
        found: ByAsset = {
            event.asset_key: {name: event.metadata[name] for name in KEPT if name in event.metadata}
            for event in events
            if isinstance(event, dg.AssetMaterialization)
        }
        if all(len(entries) == len(KEPT) for entries in found.values()):
            packed = {
                key.to_user_string(): {name: serialize_value(value) for name, value in entries.items()}
                for key, entries in found.items()
            }
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._path.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(packed))
            draft.replace(self._path)
        return found


def find_columns(dbt: OfflineDbtCliResource, arguments: list[str], invocation: DbtCliInvocation) -> list[Any]:
    """A materialisation per table of a finished build with its columns. `invocation` has read the build with these `arguments`."""
    invocation.adapter = dbt.open_adapter(arguments)
    tables = [
        dg.AssetMaterialization([node["schema"], node["alias"]], metadata={"unique_id": unique_id})
        for unique_id, node in invocation.manifest["nodes"].items()
        if node["resource_type"] == "model"
    ]
    # Its threads step into the project's folder and back, each on its own: whichever is last may leave the process in there.
    with chdir(Path.cwd()), _each_statement_once():
        return list(DbtEventIterator(iter(tables), invocation).fetch_column_metadata())


@contextmanager
def _each_statement_once() -> Iterator[None]:
    """dagster-dbt asks sqlglot for one column after the other, which parses and qualifies the whole statement for each of them.

    In this block a statement is looked at once, for all its columns, and not copied to be cut down to one of them (decision 40).
    """
    library: Any = dbt_cli_event
    of_all = library.lineage
    known: dict[str, dict[str, Node]] = {}

    def of_one(column: str, sql: str, schema: "Schema", dialect: str) -> "Node":
        if sql not in known:
            known[sql] = of_all(None, sql, schema, dialect=dialect, trim_selects=False)
        return known[sql][column]

    library.lineage = of_one
    try:
        yield
    finally:
        library.lineage = of_all


def _unpack(entries: dict[str, str]) -> dict[str, Any]:
    kinds = (dg.TableSchemaMetadataValue, dg.TableColumnLineageMetadataValue)
    return {name: deserialize_value(packed, kinds) for name, packed in entries.items()}


def count_rows(build_file: Path, keys: Iterable[dg.AssetKey]) -> dict[dg.AssetKey, int]:
    """Rows of each table of a finished build; an asset's key is its schema and table. Views of published tables are left out."""
    import duckdb

    counts = {}
    with duckdb.connect(str(build_file), read_only=True) as build:
        for key in keys:
            schema, table = key.path
            try:
                row = build.execute(f'select count(*) from "{schema}"."{table}"').fetchone()
            except duckdb.BinderException:
                continue  # the lake is not attached here
            counts[key] = row[0] if row else 0
    return counts
