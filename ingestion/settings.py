"""The ingestion edge's settings: limits with the reason for each default. Addresses of data stores are the storage package's."""

from ipaddress import ip_address

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingestion.contracts.topics import DEAD_LETTER_TOPIC, DOWNLOADS_TOPIC, IMPORT_TOPIC, LIVE_TOPIC
from runtime.aliases import named
from runtime.settings import ENVIRONMENT_NAMES, Environment


class IngestionSettings(BaseSettings):
    """Read once by the API's and the importer's entry points."""

    model_config = SettingsConfigDict(
        env_prefix="TIDEMARK_INGESTION_", frozen=True, extra="ignore", populate_by_name=True
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on. Beyond loopback, keys are compulsory.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on.")
    environment: Environment = Field(
        default="development",
        validation_alias=ENVIRONMENT_NAMES,
        description="In production every request needs a key, also on loopback.",
    )
    live_topic: str = Field(
        default=LIVE_TOPIC,
        validation_alias=named("TIDEMARK_INGESTION_LIVE_TOPIC", "KAFKA_TOPIC"),
        description="Topic of live events. Landing reads the default: another name is for consumers of your own.",
    )
    import_topic: str = Field(default=IMPORT_TOPIC, description="Topic of imported history.")
    dead_letter_topic: str = Field(
        default=DEAD_LETTER_TOPIC,
        validation_alias=named("TIDEMARK_INGESTION_DEAD_LETTER_TOPIC", "KAFKA_DLQ_TOPIC"),
        description="Topic that keeps rejected events. Landing reads the default.",
    )
    downloads_topic: str = Field(
        default=DOWNLOADS_TOPIC, description="Topic to which clients write downloads in Avro themselves."
    )
    downloads_app_id: str = Field(default="public", description="App that the downloads on that topic belong to.")
    single_body_max_bytes: int = Field(
        default=1024 * 1024, ge=1024, le=1_900_000, description="Largest single event; a Kafka record holds 2 MiB."
    )
    batch_body_max_bytes: int = Field(
        default=16 * 1024 * 1024, ge=1024, description="Largest batch body on the wire: about 0.2 s of validation."
    )
    unpacked_body_max_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024, description="Largest gzip body once unpacked; unpacking stops there."
    )
    bodies_max_bytes: int = Field(
        default=256 * 1024 * 1024, ge=1024, description="Bodies in memory at one time over all requests; beyond: 503."
    )
    batch_max_events: int = Field(default=1000, ge=1, description="Most events of a JSON batch.")
    ndjson_max_events: int = Field(default=50_000, ge=1, description="Most lines of an NDJSON batch.")
    message_timeout_seconds: float = Field(
        default=8.0, gt=0, le=60, description="How long the producer tries one record before it reports a failure."
    )
    request_timeout_seconds: float = Field(
        default=10.0, gt=0, le=120, description="Longest wait for the broker; above the message timeout."
    )
    linger_milliseconds: float = Field(
        default=2.0, ge=0, le=1000, description="How long the producer gathers records: latency against throughput."
    )
    queue_max_records: int = Field(default=200_000, ge=1000, description="Records in flight; beyond: 503, not memory.")
    queue_max_bytes: int = Field(
        default=128 * 1024 * 1024, ge=4 * 1024 * 1024, description="Bytes in flight; beyond: 503."
    )
    broker_check_seconds: float = Field(
        default=1.0, gt=0, le=10, description="Pause between broker checks; /health turns within three of them + 2 s."
    )
    ledger_flush_seconds: float = Field(
        default=1.0, gt=0, le=60, description="How often acknowledged counts go to PostgreSQL."
    )
    rate_limit_requests: int = Field(
        default=10_000,
        ge=0,
        description="Requests per minute and key, over all replicas; a batch is one request. 0 switches the limit off.",
    )
    daily_quota_events: int = Field(
        default=0, ge=0, description="Events that an app may send per UTC day, over all its keys. 0: no quota."
    )
    max_connections: int = Field(
        default=2000,
        ge=10,
        description="Open connections; requests beyond are answered 503, beyond twice as many closed.",
    )
    head_timeout_seconds: float = Field(
        default=10.0, gt=0, le=120, description="Longest time from a request's first byte to the end of its headers."
    )
    head_max_bytes: int = Field(
        default=64 * 1024, ge=8192, description="Largest request line with headers; at most 100 headers."
    )
    body_timeout_seconds: float = Field(
        default=30.0, gt=0, le=600, description="Longest time for a whole body: 16 MiB at 4.5 Mbit/s."
    )
    body_silence_seconds: float = Field(
        default=10.0, gt=0, le=120, description="Longest pause inside a body before the client counts as gone."
    )
    retry_after_seconds: int = Field(default=2, ge=1, le=300, description="Retry-After of a 503.")

    @property
    def allows_anonymous(self) -> bool:
        """True when requests without a key belong to app `public`: development, and a listener on loopback."""
        return self.environment == "development" and is_loopback(self.host)


class GeneratorSettings(BaseSettings):
    """Read by `tidemark send`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    events_per_minute: float = Field(
        default=7.0,
        gt=0,
        validation_alias="EVENTS_PER_MINUTE",
        description="Downloads per minute of `tidemark send --family download`; 30000 is a busy shop.",
    )


def is_loopback(host: str) -> bool:
    """True for localhost and loopback addresses."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
