"""Runs the checker's SQL files. A query of a check returns one column, `offence`: a text that names what is wrong."""

from functools import cache
from importlib import resources
from typing import Any

import duckdb

from storage.verification.report import MAX_OFFENDING, Finding


@cache
def load(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return resources.files("storage.verification").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def run_script(session: duckdb.DuckDBPyConnection, name: str) -> None:
    """Runs a file of several statements (temporary views, tables, macros)."""
    session.execute(load(name))


def gather(
    session: duckdb.DuckDBPyConnection, name: str, finding: Finding, parameters: dict[str, Any] | None = None
) -> None:
    """Adds the offences that a query finds: exact in number, bounded in names, so that a lost table does not fill memory."""
    query = load(name).rstrip().removesuffix(";")
    row = session.execute(
        f"select count(*), coalesce(min(offence, {MAX_OFFENDING}), []) from ({query}) as offences", parameters or {}
    ).fetchone()
    if row is not None and row[0]:
        finding.add(row[1], count=row[0])


def set_variables(session: duckdb.DuckDBPyConnection, **values: Any) -> None:
    """Binds DuckDB variables that the queries read by getvariable."""
    for name, value in values.items():
        session.execute(f"set variable {name} = $value", {"value": value})
