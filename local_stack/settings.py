"""Where a stack keeps its state and which ports it takes. Two homes with two offsets run side by side.

Holds addresses only; `local_stack.environment` turns them into the settings of the other packages.
"""

import hashlib
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class StackSettings(BaseSettings):
    """The settings of the local stack itself."""

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_", frozen=True, extra="ignore")

    home: Path = Field(
        default=PROJECT_ROOT / ".tidemark", description="Folder of all state of this stack, relative to where you are."
    )
    port_offset: int = Field(
        default=0, ge=0, le=50_000, description="Added to every port, so that stacks run side by side."
    )

    @field_validator("home")
    @classmethod
    def _make_absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @property
    def ports(self) -> "Ports":
        """The ports of this stack."""
        return Ports(self.port_offset)

    @property
    def home_id(self) -> str:
        """Short name of the home, the same at every start: marks the processes that belong to it."""
        return hashlib.sha256(str(self.home.resolve()).encode()).hexdigest()[:10]

    @property
    def logs_dir(self) -> Path:
        """One log file per process."""
        return self.home / "logs"

    @property
    def status_file(self) -> Path:
        """Written by the supervisor at every change."""
        return self.home / "status.json"

    @property
    def lock_file(self) -> Path:
        """Locked while a supervisor lives; holds its process id."""
        return self.home / "supervisor.lock"

    @property
    def environment_file(self) -> Path:
        """KEY=value for every setting of every package; mode 0600, it holds a password."""
        return self.home / "stack.env"

    @property
    def endpoints_file(self) -> Path:
        """Addresses and keys for people and tests; mode 0600."""
        return self.home / "endpoints.json"

    @property
    def docs_dir(self) -> Path:
        """Generated dbt docs."""
        return self.home / "dbt_docs"

    @property
    def fork_server_socket(self) -> Path:
        """Where the fork server listens."""
        return self.dagster_dir / "fork_server.sock"

    @property
    def dbt_command(self) -> Path:
        """A `dbt` that starts without importing dbt."""
        return self.dagster_dir / "dbt"

    @property
    def dagster_dir(self) -> Path:
        """DAGSTER_HOME of this stack."""
        return self.home / "dagster"


class Ports:
    """Every port of a stack: a default plus the offset. All on loopback."""

    DEFAULTS: dict[str, int] = {  # noqa: RUF012 - read-only
        "ingestion": 8000,
        "analytics": 8001,
        "dbt_docs": 8002,
        "dagster": 3000,
        "kafka": 9092,
        "kafka_controller": 9093,
        "metrics": 9090,
        "hot_store_worker_1": 9094,
        "hot_store_worker_2": 9095,
        "postgres": 5433,
        "code_server": 4266,
    }

    def __init__(self, offset: int) -> None:
        self.ingestion = self.DEFAULTS["ingestion"] + offset
        self.analytics = self.DEFAULTS["analytics"] + offset
        self.dbt_docs = self.DEFAULTS["dbt_docs"] + offset
        self.dagster = self.DEFAULTS["dagster"] + offset
        self.kafka = self.DEFAULTS["kafka"] + offset
        self.kafka_controller = self.DEFAULTS["kafka_controller"] + offset
        self.metrics = self.DEFAULTS["metrics"] + offset
        self.hot_store_worker_1 = self.DEFAULTS["hot_store_worker_1"] + offset
        self.hot_store_worker_2 = self.DEFAULTS["hot_store_worker_2"] + offset
        self.postgres = self.DEFAULTS["postgres"] + offset
        self.code_server = self.DEFAULTS["code_server"] + offset

    def items(self) -> list[tuple[str, int]]:
        """(what listens, port), in a fixed order."""
        return [(name, getattr(self, name)) for name in self.DEFAULTS]
