"""The rules that an hour was published by, so that a build may add to its rows."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "control"


def upgrade() -> None:
    """Adds hours.rules_version, null for every hour: each is built whole once more before it grows."""
    op.add_column(
        "hours",
        sa.Column(
            "rules_version",
            sa.Text,
            comment="what decided the published rows besides bronze; null while they may come by anything else",
        ),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Removes it."""
    op.drop_column("hours", "rules_version", schema=SCHEMA)
