"""The one setting that every process shares: where it runs."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.aliases import named

Environment = Literal["development", "production"]
ENVIRONMENT_NAMES = named("TIDEMARK_ENVIRONMENT", "ENVIRONMENT")


class ProcessSettings(BaseSettings):
    """For processes whose own settings have no environment."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    environment: Environment = Field(
        default="development",
        validation_alias=ENVIRONMENT_NAMES,
        description="In production keys are compulsory, also on loopback, and logs are JSON, also on a terminal.",
    )
