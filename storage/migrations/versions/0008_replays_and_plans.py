"""Requested replays, their days, and kept plans."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = "control"
TIMESTAMP = sa.TIMESTAMP(timezone=True)
NOW = sa.func.now()


def upgrade() -> None:
    """Creates replays, replay_days and plans."""
    op.create_table(
        "replays",
        sa.Column("replay_id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("first_hour", TIMESTAMP, nullable=False),
        sa.Column("end_hour", TIMESTAMP, nullable=False, comment="one hour past the last"),
        sa.Column(
            "app_id", sa.Text, nullable=False, server_default="", comment="only hours with its records; empty: all"
        ),
        sa.Column("event_type", sa.Text, nullable=False, server_default="", comment="the same for a type of event"),
        sa.Column("requested_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("cancelled_at", TIMESTAMP),
        sa.Column("finished_at", TIMESTAMP),
        schema=SCHEMA,
    )
    op.create_index(
        "replays_one_active",
        "replays",
        ["first_hour", "end_hour", "app_id", "event_type"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("finished_at is null and cancelled_at is null"),
    )
    op.create_table(
        "replay_days",
        sa.Column(
            "replay_id",
            sa.BigInteger,
            sa.ForeignKey(f"{SCHEMA}.replays.replay_id", ondelete="cascade"),
            primary_key=True,
        ),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column(
            "hours", sa.ARRAY(sa.SmallInteger), nullable=False, comment="UTC hours of the day to rebuild, 0 to 23"
        ),
        sa.Column("row_count", sa.BigInteger, nullable=False, comment="bronze records in them when it was planned"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0", comment="builds that began"),
        sa.Column("next_attempt_at", TIMESTAMP),
        sa.Column("blocked_by", sa.Text, comment="the check or error that stopped the last build"),
        sa.Column("finished_at", TIMESTAMP),
        sa.Column("publication_id", sa.BigInteger, comment="null: nothing differed from what was published"),
        sa.Column("bronze_version", sa.BigInteger, comment="what the build has read"),
        sa.Column("last_run_id", sa.Text),
        schema=SCHEMA,
    )
    op.create_table(
        "plans",
        sa.Column("plan_id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("fingerprint", sa.Text, nullable=False, comment="hours, base, bronze version and code: SHA-256, hex"),
        sa.Column("state", sa.Text, nullable=False, comment="building, ready, applied, dropped or expired"),
        sa.Column("hours", JSONB, nullable=False, comment="half-open ranges [from, to)"),
        sa.Column("base_publication_id", sa.BigInteger),
        sa.Column("bronze_version", sa.BigInteger, nullable=False),
        sa.Column("code_version", sa.Text, nullable=False),
        sa.Column("file_hash", sa.Text, comment="SHA-256 of the kept build file, hex"),
        sa.Column("differences", JSONB, nullable=False, server_default="[]", comment="per table and day"),
        sa.Column("publication_id", sa.BigInteger, comment="what applying it published; null when nothing differed"),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("expires_at", TIMESTAMP, nullable=False),
        sa.Column("closed_at", TIMESTAMP),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drops them."""
    for table in ("plans", "replay_days", "replays"):
        op.drop_table(table, schema=SCHEMA)
