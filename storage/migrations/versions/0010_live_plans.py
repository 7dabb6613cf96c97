"""Which plan of the live query wrote its state, and which hours' minutes retention removed."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = "live"


def upgrade() -> None:
    """Adds queries.plan_version, 1 for what has begun, and hours.removed_at, now for hours that were compared and have no minute left."""
    op.add_column(
        "queries",
        sa.Column(
            "plan_version",
            sa.Integer,
            comment="of the query that wrote that checkpoint's state; null before its first start",
        ),
        schema=SCHEMA,
    )
    op.execute("update live.queries set plan_version = 1 where last_batch is not null")
    op.add_column(
        "hours",
        sa.Column(
            "removed_at",
            sa.TIMESTAMP(timezone=True),
            comment="when retention removed its minutes; it is not compared from then on",
        ),
        schema=SCHEMA,
    )
    op.execute(
        "update live.hours set removed_at = now() where closed_at is not null and not exists "
        "(select from live.minutes where minute >= hours.hour and minute < hours.hour + interval '1 hour')"
    )


def downgrade() -> None:
    """Removes both."""
    op.drop_column("hours", "removed_at", schema=SCHEMA)
    op.drop_column("queries", "plan_version", schema=SCHEMA)
