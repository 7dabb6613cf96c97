"""Opens the DuckLake: Parquet under `lake_uri`, catalog in PostgreSQL, attached as `lake`.

Holds attaching and DDL. What a publication is and how it is made: `storage.publications`, `storage.promotion`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
from psycopg2.extensions import make_dsn, parse_dsn

from storage.duckdb_session import open_session
from storage.lake_views import create_views
from storage.object_store import quoted
from storage.restatements import RESTATEMENTS_DDL
from storage.settings import StorageSettings
from storage.tables import CATALOG_SCHEMA, TableSpec, load_table_specs

LAKE_EXTENSIONS = ("ducklake", "postgres", "delta")
_CATALOG_ACCESS = "lake_catalog"
DEFAULT_MANIFEST = Path(__file__).resolve().parent.parent / "dbt_project" / "target" / "manifest.json"

PUBLICATIONS_DDL = """
create table if not exists lake.operations.publications (
    publication_id bigint, cause varchar, hours timestamptz[], run_id varchar, base_publication_id bigint,
    bronze_version bigint, highest_offsets varchar, code_version varchar, changes varchar, published_at timestamptz
)
"""
OPERATIONS_DDL = {"operations.publications": PUBLICATIONS_DDL, "operations.restatements": RESTATEMENTS_DDL}


def attach(
    connection: duckdb.DuckDBPyConnection,
    settings: StorageSettings,
    *,
    alias: str = "lake",
    read_only: bool,
    snapshot_id: int | None = None,
) -> None:
    """Attaches the lake. A snapshot implies read-only. Small inserts go to files, not into the catalog.

    The catalog's password is a secret of DuckDB's, not part of the address: DuckDB's errors repeat the address, and end up in logs.
    """
    options = [f"METADATA_SCHEMA '{CATALOG_SCHEMA}'", f"DATA_PATH '{settings.lake_uri}'"]
    parts = parse_dsn(settings.database_url)
    password = parts.pop("password", None)
    if password is not None:
        connection.execute(f"CREATE OR REPLACE SECRET {_CATALOG_ACCESS} (TYPE postgres, PASSWORD {quoted(password)})")
        options.append(f"META_SECRET '{_CATALOG_ACCESS}'")
    if read_only or snapshot_id is not None:
        options.append("READ_ONLY")
    else:
        options.append("DATA_INLINING_ROW_LIMIT 0")
    if snapshot_id is not None:
        options.append(f"SNAPSHOT_VERSION {int(snapshot_id)}")
    connection.execute(f"ATTACH {quoted('ducklake:postgres:' + make_dsn(**parts))} AS {alias} ({', '.join(options)})")


@contextmanager
def open_lake(
    settings: StorageSettings, *, read_only: bool = True, snapshot_id: int | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory connection with the lake attached as `lake`, at a snapshot when one is given, for one piece of work."""
    with open_session(settings, LAKE_EXTENSIONS) as session:
        if not read_only:
            # A writer's commit fails when any other snapshot came between: promotion is a compare-and-swap, never a merge.
            session.execute("SET ducklake_max_retry_count=0")
        attach(session, settings, read_only=read_only, snapshot_id=snapshot_id)
        yield session


def create_missing_tables(settings: StorageSettings, manifest_path: Path = DEFAULT_MANIFEST) -> list[str]:
    """Creates the catalog and every published table and view that is missing, all or none; returns their names. Idempotent.

    A column that a contract gained is added to the published table; a changed or dropped one is refused by name.
    """
    Path(settings.lake_uri).mkdir(parents=True, exist_ok=True) if "://" not in settings.lake_uri else None
    specs = load_table_specs(manifest_path)
    created: list[str] = []
    with open_session(settings, LAKE_EXTENSIONS) as session:
        attach(session, settings, read_only=False)
        session.execute("begin")  # one commit of the catalog, not one for every statement
        existing = _existing_columns(session)
        for schema in ("silver", "gold", "operations"):
            session.execute(f"create schema if not exists lake.{schema}")
        for spec in specs:
            if spec.qualified_name not in existing:
                create_table(session, spec)
                created.append(spec.qualified_name)
            else:
                _add_missing_columns(session, spec, existing[spec.qualified_name])
        for name, statement in OPERATIONS_DDL.items():
            if name not in existing:
                session.execute(statement)
                created.append(name)
        created += create_views(session)
        session.execute("commit")
    return created


def _existing_columns(session: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    rows: Sequence[tuple[str, str, str]] = session.execute(
        "select schema_name, table_name, column_name from duckdb_columns() where database_name = 'lake'"
    ).fetchall()
    tables: dict[str, set[str]] = {}
    for schema, table, column in rows:
        tables.setdefault(f"{schema}.{table}", set()).add(column)
    return tables


def create_table(session: duckdb.DuckDBPyConnection, spec: TableSpec) -> None:
    """Makes one published table, empty, in the attached lake."""
    columns = ", ".join(f'"{name}" {kind}' for name, kind in spec.columns)
    session.execute(f"create table lake.{spec.qualified_name} ({columns})")
    # One day's query reads that day's files only.
    session.execute(f"alter table lake.{spec.qualified_name} set partitioned by (event_date)")


def _add_missing_columns(session: duckdb.DuckDBPyConnection, spec: TableSpec, existing: set[str]) -> None:
    for name, kind in spec.columns:
        if name not in existing:
            session.execute(f'alter table lake.{spec.qualified_name} add column "{name}" {kind}')
