"""The schema registry: schemas, versions of subjects, compatibility levels.

The migration spells every table out: a later change of `storage.control.tables` must not change what this revision made.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "control"
TIMESTAMP = sa.TIMESTAMP(timezone=True)
NOW = sa.func.now()


def upgrade() -> None:
    """Creates the three tables."""
    op.create_table(
        "registry_schemas",
        sa.Column(
            "schema_id",
            sa.Integer,
            primary_key=True,
            autoincrement=False,
            comment="what Avro records carry; for ever",
        ),
        sa.Column("schema_text", sa.Text, nullable=False, comment="canonical JSON text"),
        sa.Column("fingerprint", sa.Text, nullable=False, unique=True, comment="SHA-256 of the text, hex"),
        sa.Column("registered_at", TIMESTAMP, nullable=False, server_default=NOW),
        schema=SCHEMA,
    )
    op.create_table(
        "registry_versions",
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, comment="from 1 within the subject"),
        sa.Column("schema_id", sa.Integer, sa.ForeignKey(f"{SCHEMA}.registry_schemas.schema_id"), nullable=False),
        sa.Column("registered_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("deleted_at", TIMESTAMP),
        schema=SCHEMA,
    )
    op.create_table(
        "registry_levels",
        sa.Column("subject", sa.Text, primary_key=True, comment="empty: the level of all subjects without one"),
        sa.Column("level", sa.Text, nullable=False),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drops them."""
    for table in ("registry_levels", "registry_versions", "registry_schemas"):
        op.drop_table(table, schema=SCHEMA)
