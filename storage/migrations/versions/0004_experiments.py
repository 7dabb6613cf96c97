"""Registered experiments."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "control"
TIMESTAMP = sa.TIMESTAMP(timezone=True)
NOW = sa.func.now()


def upgrade() -> None:
    """Creates experiments."""
    op.create_table(
        "experiments",
        sa.Column("app_id", sa.Text, primary_key=True),
        sa.Column("experiment_id", sa.Text, primary_key=True),
        sa.Column("variants", JSONB, nullable=False, comment="names in order; the first is the control"),
        sa.Column("shares", JSONB, nullable=False, comment="configured shares in the order of the variants, sum 1"),
        sa.Column("starts_at", TIMESTAMP),
        sa.Column("ends_at", TIMESTAMP),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIMESTAMP, nullable=False, server_default=NOW),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drops it."""
    op.drop_table("experiments", schema=SCHEMA)
