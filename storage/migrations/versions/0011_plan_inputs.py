"""What a plan reads while it is built, so that retention keeps it and applying can tell what has landed since."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCHEMA = "control"


def upgrade() -> None:
    """Adds plans.base_snapshot_id and plans.landed_until, null for plans of before."""
    op.add_column(
        "plans",
        sa.Column("base_snapshot_id", sa.BigInteger, comment="the lake's snapshot that it is compared with"),
        schema=SCHEMA,
    )
    op.add_column(
        "plans",
        sa.Column(
            "landed_until", sa.TIMESTAMP(timezone=True), comment="ingested_at of the newest row of its bronze version"
        ),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Removes both."""
    op.drop_column("plans", "landed_until", schema=SCHEMA)
    op.drop_column("plans", "base_snapshot_id", schema=SCHEMA)
