"""Settings of the hot store that its writers and its readers share. The consumer's own are in `streaming.hot_store.settings`."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.aliases import named


class HotStoreSettings(BaseSettings):
    """Read once by every entry point that opens the hot store."""

    model_config = SettingsConfigDict(
        env_prefix="TIDEMARK_HOT_STORE_", frozen=True, extra="ignore", populate_by_name=True
    )

    backend: Literal["postgres", "dynamodb"] = Field(
        default="postgres", description="Where hot events are kept: the platform's PostgreSQL, or a DynamoDB table."
    )
    consumer_group: str = Field(
        default="event-processors",
        min_length=1,
        validation_alias=named("TIDEMARK_HOT_STORE_CONSUMER_GROUP", "KAFKA_CONSUMER_GROUP"),
        description="Consumer group of the workers. Another name reads the topic from its beginning.",
    )
    ttl_days: int = Field(
        default=7, ge=1, le=365, description="Days of occurred_at kept besides the current one; older events stay out."
    )
    dynamodb_table: str = Field(
        default="EventsHot",
        min_length=3,
        max_length=255,
        validation_alias=named("TIDEMARK_HOT_STORE_DYNAMODB_TABLE", "DYNAMODB_TABLE"),
        description="DynamoDB table; made when it is not there.",
    )
    dynamodb_endpoint_url: str = Field(
        default="", description="Address of another DynamoDB, such as one on this machine. Empty: the region's own."
    )
    dynamodb_connections: int = Field(
        default=16, ge=1, le=256, description="Writes to DynamoDB under way at one time: each event is one of its own."
    )
