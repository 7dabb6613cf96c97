"""Settings of the hot store's consumers. Where the store is and how long it keeps events: `storage.hot_store.settings`."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class HotStoreConsumerSettings(BaseSettings):
    """Read once by a worker's main()."""

    model_config = SettingsConfigDict(
        env_prefix="TIDEMARK_HOT_STORE_", frozen=True, extra="ignore", populate_by_name=True
    )

    worker_name: str = Field(
        default="hot_store_worker_1", min_length=1, description="Name of this worker's heartbeat: one per process."
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address on which this worker gives its metrics.")
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Port of this worker's metrics. 0: none are given."
    )
    batch_max_records: int = Field(
        default=1000, ge=1, le=10_000, description="Most records of one write: 1,000 take PostgreSQL some 0.1 s."
    )
    gather_milliseconds: float = Field(
        default=10.0,
        ge=0,
        le=1000,
        description="Pause after a batch that was not full: processor time against latency.",
    )
    session_timeout_seconds: float = Field(
        default=6.0,
        ge=6,
        le=300,
        description="A killed worker's partitions are another's after this long. Brokers allow no less than 6 s.",
    )
    retry_max_seconds: float = Field(
        default=5.0, ge=0.1, le=60, description="Longest pause between tries while the store is away."
    )
    stop_timeout_seconds: float = Field(
        default=8.0,
        gt=0,
        le=60,
        description="How long a stop waits for the batch under way; then it is left to others.",
    )
    kafka_wait_seconds: float = Field(
        default=120, ge=0, le=3600, description="How long a start waits for the broker and its topics before it fails."
    )
    heartbeat_seconds: float = Field(default=2.0, ge=0.2, le=60, description="Pause between heartbeats.")
