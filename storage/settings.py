"""Where data rests: the addresses and the few rules that every reader and writer of the data must share.

Holds the one settings model of the storage package; entry points read it once and pass it on. No service tuning belongs here.
"""

from datetime import date
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.aliases import named

BUCKET_PATHS = {"bronze_uri": "bronze/events", "lake_uri": "lake"}


class StorageSettings(BaseSettings):
    """Addresses of the broker, the database, bronze and the lake. Every one is a setting, so that a cluster is only other values."""

    model_config = SettingsConfigDict(
        env_prefix="TIDEMARK_STORAGE_", frozen=True, extra="ignore", populate_by_name=True
    )

    database_url: str = Field(
        default="postgresql://tidemark@127.0.0.1:5432/tidemark",
        validation_alias=named("TIDEMARK_STORAGE_DATABASE_URL", "DATABASE_URL"),
        description="PostgreSQL with the control tables and the lake's catalog, as a libpq URL.",
    )
    s3_bucket: str = Field(
        default="",
        validation_alias=named("TIDEMARK_STORAGE_S3_BUCKET", "S3_BUCKET"),
        description="Bucket of bronze (bronze/events) and lake (lake), for each of the two addresses that is not given.",
    )
    bronze_uri: str = Field(
        default=".tidemark/bronze/events", description="Delta table of raw records: a path or s3://."
    )
    lake_uri: str = Field(default=".tidemark/lake", description="Folder of the lake's Parquet files: a path or s3://.")
    builds_dir: Path = Field(default=Path(".tidemark/builds"), description="Private build files, one folder per run.")
    extensions_dir: Path = Field(
        default=Path(".tidemark/duckdb_extensions"),
        description="Writable folder into which DuckDB extensions are unpacked.",
    )
    kafka_bootstrap_servers: str = Field(
        default="127.0.0.1:9092",
        validation_alias=named("TIDEMARK_KAFKA_BOOTSTRAP_SERVERS", "KAFKA_BOOTSTRAP_SERVERS"),
        description="Kafka brokers, host:port separated by commas.",
    )
    first_day: date = Field(
        default=date(2015, 1, 1), description="First UTC day of occurred_at; older events are rejected."
    )
    late_after_seconds: int = Field(
        default=600, ge=1, description="An event is late when received_at - occurred_at exceeds this."
    )
    deduplication_horizon_days: int = Field(
        default=7,
        ge=1,
        le=60,
        description="Copies of one event id are recognised within this many days of occurred_at.",
    )
    duckdb_memory_limit: str = Field(
        default="1GB", description="Memory one DuckDB connection may use before it spills."
    )
    duckdb_threads: int = Field(default=2, ge=1, description="Threads of one DuckDB connection.")

    @model_validator(mode="after")
    def _place_in_bucket(self) -> Self:
        for name, path in BUCKET_PATHS.items():
            if self.s3_bucket and name not in self.model_fields_set:
                object.__setattr__(self, name, f"s3://{self.s3_bucket}/{path}")
        return self
