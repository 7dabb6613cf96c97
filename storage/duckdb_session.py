"""Opens DuckDB the one way it is opened here: UTC, bounded memory, extensions from installed wheels, never a download.

What is attached to the connection is the caller's business (see `storage.lake`).
"""

import sys
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import duckdb

from storage.object_store import is_remote, object_store_secret, read_access
from storage.settings import StorageSettings
from storage.spill import SpillFolder

DEFAULT_EXTENSIONS = ("delta",)


def connect_in_memory() -> duckdb.DuckDBPyConnection:
    """An in-memory database of its own.

    It takes extensions without asking for their signature: checking those of 160 MB costs every connection 1.5 s of processor time. They
    come out of wheels whose hash was checked when they were installed, and nothing is ever downloaded here.

    DuckDB looks for pandas once for every value that is bound, on the whole path where there is none: lists of 100,000 rows of seven values
    took 55 s, and take 4 s where it is known to be missing.
    """
    if "pandas" not in sys.modules and find_spec("pandas") is None:
        sys.modules["pandas"] = None  # type: ignore[assignment]  # Python's own way to say that it is known to be missing
    return duckdb.connect(config={"allow_unsigned_extensions": "true"})


def load_extensions(connection: duckdb.DuckDBPyConnection, settings: StorageSettings, names: Iterable[str]) -> None:
    """Loads extensions out of their wheels, and what opens an object store where an address is in one. Idempotent.

    Unpacks into `extensions_dir` at the first use. Raises: ObjectStoreError.
    """
    from duckdb_extensions import import_extension

    remote = is_remote(settings.bronze_uri, settings.lake_uri)
    settings.extensions_dir.mkdir(parents=True, exist_ok=True)
    connection.execute(f"SET extension_directory='{settings.extensions_dir}'")
    for name in (*names, *(("httpfs",) if remote else ())):
        import_extension(name, con=connection)
        connection.execute(f"LOAD {name}")
    if remote:
        connection.execute(object_store_secret(read_access(settings)))


def configure(connection: duckdb.DuckDBPyConnection, settings: StorageSettings) -> None:
    """Sets what every connection has: UTC, bounds, a spill folder of its own, and no extension from the network."""
    connection.execute("SET autoinstall_known_extensions=false")
    connection.execute("SET TimeZone='UTC'")
    connection.execute(f"SET memory_limit='{settings.duckdb_memory_limit}'")
    connection.execute(f"SET threads={settings.duckdb_threads}")
    spill = SpillFolder(settings.builds_dir / "spill")
    connection.execute(f"SET temp_directory='{spill.path}'")
    # With the connection itself, whoever closes it. Not at exit: a forked process would remove what is its parent's.
    weakref.finalize(connection, spill.close).atexit = False  # type: ignore[misc]  # typeshed's __slots__ lack it


@contextmanager
def open_session(
    settings: StorageSettings, extensions: Iterable[str] = DEFAULT_EXTENSIONS
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory connection for one piece of work, closed after it."""
    connection = connect_in_memory()
    try:
        configure(connection, settings)
        load_extensions(connection, settings, extensions)
        yield connection
    finally:
        connection.close()
