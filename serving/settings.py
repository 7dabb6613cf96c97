"""How the analytics API runs: its address, its bounds and how often it looks for a new publication.

Where data rests is not its business: see `storage.settings`. Read once, by `python -m serving`.
"""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.settings import ENVIRONMENT_NAMES, Environment

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


class ServingSettings(BaseSettings):
    """Tuning of the analytics API. Every default is meant for the two cores of the local stack."""

    model_config = SettingsConfigDict(
        env_prefix="TIDEMARK_SERVING_", frozen=True, extra="ignore", populate_by_name=True
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8001, ge=1, le=65535, description="Port to listen on.")
    environment: Environment = Field(
        default="development",
        validation_alias=ENVIRONMENT_NAMES,
        description="In development, on a loopback address, requests without a key read the app `public`.",
    )
    query_workers: int = Field(
        default=4, ge=1, le=64, description="Queries that run at once; the others wait their turn. About two per core."
    )
    max_waiting_queries: int = Field(
        default=500, ge=1, description="Requests that may wait for a worker; one more is answered 503."
    )
    query_timeout_seconds: float = Field(default=30.0, gt=0, description="A query that runs longer is stopped: 503.")
    duckdb_memory_limit: str = Field(default="512MB", description="Memory of all queries together before they spill.")
    duckdb_threads: int = Field(
        default=1, ge=1, description="DuckDB threads beside the workers' own, which compute too: 1 adds none."
    )
    attached_snapshots: int = Field(
        default=4,
        ge=2,
        le=32,
        description="Publications kept open, the newest included. Each holds up to four PostgreSQL connections.",
    )
    poll_seconds: float = Field(
        default=0.25, gt=0, le=1, description="Pause between looks for a new publication; bounds how late it is seen."
    )
    answer_cache_entries: int = Field(
        default=256, ge=0, description="Answers of fixed ranges kept in memory; 0 switches the cache off."
    )
    key_refresh_seconds: float = Field(
        default=2.0, gt=0, le=4, description="A new or revoked key is seen after this long; five seconds are promised."
    )

    @property
    def is_public_readable(self) -> bool:
        """Whether a request without any key may read the app `public`."""
        return self.environment == "development" and self.host in LOOPBACK_HOSTS
