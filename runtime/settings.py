"""The one setting that every process shares: where it runs. And what a process does with settings that are not valid."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.aliases import named

Environment = Literal["development", "production"]
ENVIRONMENT_NAMES = named("TIDEMARK_ENVIRONMENT", "ENVIRONMENT")
# EX_CONFIG of sysexits.h: a person must act, so the supervisor reports it at once.
EXIT_CONFIGURATION = 78


class ProcessSettings(BaseSettings):
    """For processes whose own settings have no environment."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    environment: Environment = Field(
        default="development",
        validation_alias=ENVIRONMENT_NAMES,
        description="In production keys are compulsory, also on loopback, and logs are JSON, also on a terminal.",
    )


def describe_invalid(error: ValidationError) -> str:
    """One line that names every setting that is wrong and why, without its value: that may be a secret."""
    found = [(".".join(map(str, part["loc"])), part["msg"].removeprefix("Value error, ")) for part in error.errors()]
    return "settings are not valid: " + "; ".join(f"{place}: {reason}" if place else reason for place, reason in found)


@contextmanager
def exit_on_invalid_settings() -> Iterator[None]:
    """Ends the process with EXIT_CONFIGURATION and one line on stderr when a model refuses the environment."""
    try:
        yield
    except ValidationError as error:
        sys.stderr.write(f"{describe_invalid(error)}\n")
        raise SystemExit(EXIT_CONFIGURATION) from error
