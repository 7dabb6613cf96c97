"""Where data rests: the addresses and the few rules that every reader and writer of the data must share.

Holds the one settings model of the storage package; entry points read it once and pass it on. No service tuning belongs here.
"""

from datetime import date
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingestion.contracts.topics import (
    DEAD_LETTER_TOPIC,
    DOWNLOADS_TOPIC,
    IMPORT_TOPIC,
    LIVE_TOPIC,
    TopicNames,
    problems_of,
)
from runtime.aliases import named

AWS_REGION_NAMES = named("TIDEMARK_STORAGE_AWS_REGION", "AWS_REGION")
AWS_PROFILE_NAMES = named("TIDEMARK_STORAGE_AWS_PROFILE", "AWS_PROFILE")
BUCKET_PATHS = {"bronze_uri": "bronze/events", "lake_uri": "lake"}
TOPIC_VARIABLES = {
    "live": "TIDEMARK_KAFKA_TOPIC",
    "imports": "TIDEMARK_KAFKA_IMPORT_TOPIC",
    "dead_letters": "TIDEMARK_KAFKA_DLQ_TOPIC",
    "downloads": "TIDEMARK_KAFKA_DOWNLOADS_TOPIC",
}
"""The setting that names the topic of each role."""


class StorageSettings(BaseSettings):
    """The broker's address and topics, the database, bronze and the lake. Every one is a setting: a cluster is only other values."""

    model_config = SettingsConfigDict(
        env_prefix="TIDEMARK_STORAGE_",
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        hide_input_in_errors=True,  # the database's address holds a password
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
    aws_region: str = Field(
        default="",
        validation_alias=AWS_REGION_NAMES,
        description="Region of the bucket and of the DynamoDB table. Empty: the profile's own.",
    )
    aws_profile: str = Field(
        default="",
        validation_alias=AWS_PROFILE_NAMES,
        description="Profile of AWS's config files with keys, region and endpoint; AWS_ACCESS_KEY_ID and the like win.",
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
    live_topic: str = Field(
        default=LIVE_TOPIC,
        validation_alias=named(TOPIC_VARIABLES["live"], "KAFKA_TOPIC"),
        description="Topic of live events.",
    )
    import_topic: str = Field(
        default=IMPORT_TOPIC, validation_alias=TOPIC_VARIABLES["imports"], description="Topic of imported history."
    )
    dead_letter_topic: str = Field(
        default=DEAD_LETTER_TOPIC,
        validation_alias=named(TOPIC_VARIABLES["dead_letters"], "KAFKA_DLQ_TOPIC"),
        description="Topic that keeps rejected events.",
    )
    downloads_topic: str = Field(
        default=DOWNLOADS_TOPIC,
        validation_alias=TOPIC_VARIABLES["downloads"],
        description="Topic to which clients write downloads in Avro themselves.",
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
        default="1GB", description="Memory one DuckDB connection may use before it spills, in landing's driver too."
    )
    duckdb_threads: int = Field(default=2, ge=1, description="Threads of one DuckDB connection.")

    @property
    def topics(self) -> TopicNames:
        """The names of the topics by role. This is where they are read; everything else is told."""
        return TopicNames(self.live_topic, self.import_topic, self.dead_letter_topic, self.downloads_topic)

    @model_validator(mode="after")
    def _topics_can_exist(self) -> Self:
        problems = problems_of({TOPIC_VARIABLES[role]: name for role, name in self.topics.by_role.items()})
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _place_in_bucket(self) -> Self:
        for name, path in BUCKET_PATHS.items():
            if self.s3_bucket and name not in self.model_fields_set:
                object.__setattr__(self, name, f"s3://{self.s3_bucket}/{path}")
        return self

    @model_validator(mode="after")
    def _lie_apart(self) -> Self:
        """Each of the two deletes the files below its folder that it does not know."""
        bronze, lake = (_folder_of(uri) for uri in (self.bronze_uri, self.lake_uri))
        if bronze.startswith(lake) or lake.startswith(bronze):
            raise ValueError(
                f"TIDEMARK_STORAGE_BRONZE_URI {self.bronze_uri} and TIDEMARK_STORAGE_LAKE_URI {self.lake_uri} lie in each other, and "
                "each deletes what it does not know: give both a folder of its own"
            )
        return self


def _folder_of(uri: str) -> str:
    return f"{uri.rstrip('/') if '://' in uri else Path(uri).resolve()}/"
