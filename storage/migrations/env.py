"""Alembic's entry: online only, one advisory lock, version table inside the `control` schema."""

import sqlalchemy as sa
from alembic import context

from storage.control.tables import SCHEMA, metadata

MIGRATION_LOCK = 7_401_001  # any constant that nothing else locks


def run() -> None:
    """Runs the pending migrations in one transaction."""
    engine = sa.create_engine(context.config.attributes["database_url"], poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.execute(sa.text(f"create schema if not exists {SCHEMA}"))
        context.configure(
            connection=connection, target_metadata=metadata, version_table_schema=SCHEMA, include_schemas=True
        )
        with context.begin_transaction():
            context.run_migrations()


run()
