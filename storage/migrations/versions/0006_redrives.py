"""Redrives: requests, and what became of every quarantined record that one chose."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = "control"
TIMESTAMP = sa.TIMESTAMP(timezone=True)
NOW = sa.func.now()


def upgrade() -> None:
    """Creates redrive_requests and redrive_outcomes."""
    op.create_table(
        "redrive_requests",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("selection", JSONB, nullable=False, comment="what was asked for: reasons, app, times, stages, limit"),
        sa.Column("fix_fingerprint", sa.Text, comment="SHA-256 of what the fix means; null without one"),
        sa.Column("topic", sa.Text, nullable=False, comment="where recovered events were produced to"),
        sa.Column(
            "starting_offsets",
            JSONB,
            nullable=False,
            comment="the topic's ends when the request began: what it produced lies behind them",
        ),
        sa.Column(
            "state",
            sa.Text,
            sa.CheckConstraint("state in ('running', 'finished', 'stopped')", name="state_is_known"),
            nullable=False,
            server_default="running",
        ),
        sa.Column(
            "counts", JSONB, nullable=False, server_default="{}", comment="rows by outcome, and by reason within it"
        ),
        sa.Column("started_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("finished_at", TIMESTAMP),
        schema=SCHEMA,
    )
    op.create_table(
        "redrive_outcomes",
        sa.Column("request_id", sa.Text, sa.ForeignKey(f"{SCHEMA}.redrive_requests.request_id"), primary_key=True),
        sa.Column("kafka_topic", sa.Text, primary_key=True),
        sa.Column("kafka_partition", sa.Integer, primary_key=True),
        sa.Column("kafka_offset", sa.BigInteger, primary_key=True),
        sa.Column(
            "outcome",
            sa.Text,
            sa.CheckConstraint("outcome in ('redriven', 'already', 'still_bad', 'skipped')", name="outcome_is_known"),
            nullable=False,
        ),
        sa.Column("reason", sa.Text, comment="why it is in quarantine; null where it was noted after a kill"),
        sa.Column("remaining_reason", sa.Text, comment="why it stays there, where it does"),
        sa.Column("event_id", sa.Text, comment="of the recovered event"),
        sa.Column("decided_at", TIMESTAMP, nullable=False, server_default=NOW),
        schema=SCHEMA,
    )
    op.create_index(
        "redrive_outcomes_once",
        "redrive_outcomes",
        ["kafka_topic", "kafka_partition", "kafka_offset"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("outcome = 'redriven'"),
    )


def downgrade() -> None:
    """Drops both."""
    op.drop_table("redrive_outcomes", schema=SCHEMA)
    op.drop_table("redrive_requests", schema=SCHEMA)
