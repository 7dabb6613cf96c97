"""The dbt-duckdb plugin that gives one run its own build file and its inputs, pinned: bronze at a version, the lake at a snapshot.

It holds what differs between runs and so must not stand in profiles.yml, whose change makes dbt parse everything again. It imports
nothing of ours: dbt loads it by path, also where only the dbt project is at hand. It writes nothing outside the build file: the lake
is attached read-only, and bronze is a view.

Without any TIDEMARK_BUILD_* variable it opens a file under target/ with nothing attached: enough for unit tests.
"""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import avro_bodies
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError
from duckdb import DuckDBPyConnection
from duckdb import Error as DuckDBError
from psycopg2.extensions import make_dsn, parse_dsn
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

BUILD_FILE_NAME = "build.duckdb"
CATALOG_ACCESS = "lake_catalog"
NOTHING_READ = datetime(1970, 1, 1, tzinfo=UTC)  # before every stamp
KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class BuildSettings(BaseSettings):
    """One run's file and inputs. `catalog` is a PostgreSQL URL or libpq string, or the path of a DuckLake catalog file."""

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_BUILD_", frozen=True, extra="ignore")

    file: Path | None = Field(
        default=None, description="The run's private file; dbt calls its database by the name's stem."
    )
    catalog: str | None = Field(default=None, description="Catalog of the lake whose published tables are read.")
    lake_uri: str | None = Field(
        default=None, description="Folder of the lake's files, where it is not the catalog's own."
    )
    snapshot: int | None = Field(
        default=None, ge=0, description="The base: snapshot of the lake; the newest when left out."
    )
    bronze_uri: str | None = Field(default=None, description="Delta table of raw records: a path or s3://.")
    bronze_version: int | None = Field(default=None, ge=0, description="Delta version; the newest when left out.")
    extensions_dir: Path | None = Field(default=None, description="Writable folder into which extensions are unpacked.")
    hours: list[datetime] = Field(
        default=[], description="The hours to build, JSON list; every hour of the window when empty."
    )
    cutoffs: dict[datetime, datetime] = Field(
        default={},
        description="JSON object, hour → stamp: its records up to that ingested_at are published, and the build adds the later ones. "
        "Hours without one are built whole.",
    )
    avro_schemas: Path | None = Field(
        default=None, description="JSON file of the schemas that Avro bodies are read with; none are known without it."
    )
    memory_limit: str = Field(
        default="1GB", description="Memory DuckDB may use before it spills beside the build file."
    )
    duckdb_threads: int = Field(default=2, ge=1, description="Threads of DuckDB, for all of dbt's threads together.")

    @field_validator("hours")
    @classmethod
    def _hours_are_full_utc_hours(cls, hours: list[datetime]) -> list[datetime]:
        return sorted({full_hour(hour) for hour in hours})

    @field_validator("cutoffs")
    @classmethod
    def _cutoffs_are_of_full_utc_hours(cls, cutoffs: dict[datetime, datetime]) -> dict[datetime, datetime]:
        return {full_hour(hour): in_utc(stamp) for hour, stamp in cutoffs.items()}

    @model_validator(mode="after")
    def _file_has_the_name_dbt_expects(self) -> "BuildSettings":
        if self.file is not None and self.file.name != BUILD_FILE_NAME:
            raise ValueError(f"the file is named {self.file.name}; dbt knows its database only as {BUILD_FILE_NAME}")
        return self

    @model_validator(mode="after")
    def _cutoffs_belong_to_the_hours(self) -> "BuildSettings":
        if strangers := sorted(set(self.cutoffs) - set(self.hours)):
            raise ValueError(f"the cutoff of {strangers[0].isoformat()} is of an hour that is not built")
        return self


def in_utc(moment: datetime) -> datetime:
    """The moment in UTC; one without a zone is taken for UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def full_hour(moment: datetime) -> datetime:
    """The hour in UTC. Raises ValueError for a moment within one."""
    hour = in_utc(moment)
    if hour.minute or hour.second or hour.microsecond:
        raise ValueError(f"{hour.isoformat()} is not a full hour")
    return hour


class Plugin(BasePlugin):
    """Called by dbt-duckdb once per process: first for the file to open, then with the open connection."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Reads the environment: dbt is the entry point here."""
        del plugin_config
        try:
            self.settings = BuildSettings()
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
            raise DbtRuntimeError(f"TIDEMARK_BUILD_* settings are wrong: {problems}.") from error

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        """Names the run's own file in place of the profile's, and takes extensions unasked: the wheels' hashes were checked at set-up."""
        config["allow_unsigned_extensions"] = "true"
        if self.settings.file is not None:
            creds.path = str(self.settings.file)
        Path(creds.path).parent.mkdir(parents=True, exist_ok=True)

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Bounds the connection, attaches the inputs and notes the requested hours with their cutoffs. Idempotent."""
        settings = self.settings
        home = (settings.file or Path("target") / BUILD_FILE_NAME).parent
        add_function(conn, avro_bodies.FUNCTION, avro_bodies.reader(settings.avro_schemas))
        conn.execute("SET autoinstall_known_extensions=false")
        conn.execute("SET TimeZone='UTC'")
        conn.execute(f"SET memory_limit='{settings.memory_limit}'")
        conn.execute(f"SET threads={settings.duckdb_threads}")
        conn.execute(f"SET temp_directory='{home / 'spill'}'")
        # Tables are sets; without this a wide window is held in memory to keep an order nobody asked for.
        conn.execute("SET preserve_insertion_order=false")
        self._load_extensions(conn, settings.extensions_dir or home / "extensions")
        if settings.catalog:
            address, password = without_password(settings.catalog)
            if password is not None:
                conn.execute(f"CREATE OR REPLACE SECRET {CATALOG_ACCESS} (TYPE postgres, PASSWORD {quoted(password)})")
            self._open_input(conn, attach_statement(settings, address, has_password=password is not None))
        if is_read_only(conn):  # dagster-dbt looks at a finished build
            return
        conn.execute("CREATE SCHEMA IF NOT EXISTS bronze")
        conn.execute("CREATE SCHEMA IF NOT EXISTS build_window")
        if settings.bronze_uri:
            self._open_input(conn, bronze_view_statement(settings))
        conn.execute("CREATE OR REPLACE TABLE build_window.requested_hours (hour timestamptz, read_until timestamptz)")
        if settings.hours:
            conn.executemany(
                "INSERT INTO build_window.requested_hours VALUES (?, ?)",
                [[hour, settings.cutoffs.get(hour, NOTHING_READ)] for hour in settings.hours],
            )

    def _open_input(self, conn: DuckDBPyConnection, statement: str) -> None:
        try:
            conn.execute(statement)
        except DuckDBError as error:
            settings = self.settings
            raise DbtRuntimeError(
                f"An input of the build does not open (lake at snapshot {settings.snapshot}, bronze at version "
                f"{settings.bronze_version}): {error}"
            ) from error

    def _load_extensions(self, conn: DuckDBPyConnection, folder: Path) -> None:
        from duckdb_extensions import import_extension

        names = ["ducklake", "postgres"] if self.settings.catalog else []
        names += ["delta"] if self.settings.bronze_uri else []
        remote = any((uri or "").startswith("s3://") for uri in (self.settings.bronze_uri, self.settings.lake_uri))
        names += ["httpfs"] if remote else []
        folder.mkdir(parents=True, exist_ok=True)
        conn.execute(f"SET extension_directory='{folder}'")
        for name in names:
            import_extension(name, con=conn)
            conn.execute(f"LOAD {name}")
        if remote:
            conn.execute(object_store_secret(with_profile(os.environ)))


def add_function(conn: DuckDBPyConnection, name: str, function: Callable[[bytes], str]) -> None:
    """Gives DuckDB a function of a blob, in place of one of that name. It is called for the rows that ask for it and no others."""
    known = conn.execute("SELECT count(*) FROM duckdb_functions() WHERE function_name = ?", [name]).fetchone()
    if known and known[0]:
        conn.remove_function(name)
    conn.create_function(name, function, ["BLOB"], "VARCHAR")


def is_read_only(conn: DuckDBPyConnection) -> bool:
    """True where the build file was opened only to be read."""
    row = conn.execute("SELECT readonly FROM duckdb_databases() WHERE database_name = current_database()").fetchone()
    return bool(row and row[0])


def without_password(catalog: str) -> tuple[str, str | None]:
    """The catalog's address and its password, which DuckDB gets as a secret: its errors repeat the address, and end up in logs."""
    if not is_postgres(catalog):
        return catalog, None
    parts = parse_dsn(catalog)
    password = parts.pop("password", None)
    return make_dsn(**parts), password


def is_postgres(catalog: str) -> bool:
    """Whether it is a PostgreSQL URL or libpq string; a path otherwise."""
    return "://" in catalog or "=" in catalog


def attach_statement(settings: BuildSettings, address: str, *, has_password: bool = False) -> str:
    """The ATTACH of the lake, read-only at the base snapshot, under the name that models know."""
    options = ["READ_ONLY"]
    if is_postgres(address):
        address = f"postgres:{address}"
        options.append("METADATA_SCHEMA 'lake_catalog'")
    if has_password:
        options.append(f"META_SECRET '{CATALOG_ACCESS}'")
    if settings.snapshot is not None:
        options.append(f"SNAPSHOT_VERSION {settings.snapshot}")
    if settings.lake_uri:
        options.append(f"DATA_PATH {quoted(settings.lake_uri)}, OVERRIDE_DATA_PATH true")
    return f"ATTACH IF NOT EXISTS {quoted('ducklake:' + address)} AS lake ({', '.join(options)})"


def bronze_view_statement(settings: BuildSettings) -> str:
    """The view `bronze.events`: a view in the build file, because column lineage needs a relation that dbt can describe."""
    version = "" if settings.bronze_version is None else f", version => {settings.bronze_version}"
    return f"CREATE OR REPLACE VIEW bronze.events AS SELECT * FROM delta_scan({quoted(settings.bronze_uri or '')}{version})"


def with_profile(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` with keys, region and endpoint of the profile that AWS_PROFILE names, where it has none itself, as AWS's tools do."""
    given = {name: value for name, value in environment.items() if value}
    profile = given.get("AWS_PROFILE")
    if profile is None:
        return given
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        session = Session(profile=profile)
        config = session.get_scoped_config()
        found = {"AWS_REGION": config.get("region"), "AWS_ENDPOINT_URL": config.get("endpoint_url")}
        if "AWS_ACCESS_KEY_ID" not in given and (keys := session.get_credentials()) is not None:
            found |= dict(zip(KEY_VARIABLES, keys.get_frozen_credentials()[:3], strict=True))
    except BotoCoreError as error:
        raise DbtRuntimeError(
            f"AWS_PROFILE={profile} cannot be used: {error}; name a profile of ~/.aws/config or ~/.aws/credentials, or unset it"
        ) from error
    return {name: value for name, value in found.items() if value} | given


def object_store_secret(access: Mapping[str, str]) -> str:
    """DuckDB's S3 secret out of AWS_* variables. Its own credential chain needs an extension that has no wheel here."""
    names = {
        "KEY_ID": "AWS_ACCESS_KEY_ID",
        "SECRET": "AWS_SECRET_ACCESS_KEY",
        "SESSION_TOKEN": "AWS_SESSION_TOKEN",
        "REGION": "AWS_REGION",
    }
    options = [f"{option} {quoted(access[name])}" for option, name in names.items() if access.get(name)]
    if endpoint := access.get("AWS_ENDPOINT_URL"):
        scheme, _, host = endpoint.partition("://")
        options += [
            f"ENDPOINT {quoted(host or scheme)}",
            "URL_STYLE 'path'",
            f"USE_SSL {str(scheme == 'https').lower()}",
        ]
    return f"CREATE OR REPLACE SECRET object_store ({', '.join(['TYPE s3', *options])})"


def quoted(text: str) -> str:
    """`text` as an SQL string: DuckDB binds no parameters in ATTACH and CREATE."""
    return "'" + text.replace("'", "''") + "'"
