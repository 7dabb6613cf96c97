"""Opens the control database and brings its schema up to date. Holds no queries."""

from pathlib import Path

from sqlalchemy import Engine, create_engine

from storage.settings import StorageSettings

MIGRATIONS_DIR = Path(__file__).resolve().parent.parent / "migrations"


def make_engine(settings: StorageSettings, *, pool_size: int = 4) -> Engine:
    """An engine that notices a restarted server (pre-ping) and waits at most five seconds for a connection."""
    return create_engine(
        sqlalchemy_url(settings.database_url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        pool_timeout=5,
        connect_args={"connect_timeout": 5, "application_name": "tidemark", "options": "-c timezone=UTC"},
    )


def sqlalchemy_url(database_url: str) -> str:
    """The libpq URL with the driver named, because SQLAlchemy's default driver differs between versions."""
    for prefix in ("postgresql://", "postgres://"):
        if database_url.startswith(prefix):
            return "postgresql+psycopg2://" + database_url.removeprefix(prefix)
    return database_url


def migrate(settings: StorageSettings) -> None:
    """Brings the control schema to the newest version. Idempotent; two at once wait for each other by an advisory lock."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR))
    config.attributes["database_url"] = sqlalchemy_url(settings.database_url)
    command.upgrade(config, "head")
