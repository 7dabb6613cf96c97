"""Control tables of the walking platform.

The migration spells every table out: a later change of `storage.control.tables` must not change what this revision made.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "control"
TIMESTAMP = sa.TIMESTAMP(timezone=True)
NOW = sa.func.now()


def upgrade() -> None:
    """Creates keys, hours, cursor, heartbeats, acknowledged, imports and alerts."""
    op.create_table(
        "api_keys",
        sa.Column(
            "key_hash", sa.Text, primary_key=True, comment="SHA-256 of the key, hex; the key itself is never stored"
        ),
        sa.Column("key_id", sa.Text, nullable=False, unique=True, comment="public name of the key, safe to log"),
        sa.Column("app_id", sa.Text, nullable=False),
        sa.Column(
            "kind", sa.Text, sa.CheckConstraint("kind in ('write', 'read')", name="kind_is_known"), nullable=False
        ),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("revoked_at", TIMESTAMP),
        schema=SCHEMA,
    )
    op.create_table(
        "hours",
        sa.Column("hour", TIMESTAMP, primary_key=True, comment="UTC hour of event_hour in bronze"),
        sa.Column(
            "touched_version",
            sa.BigInteger,
            nullable=False,
            comment="newest bronze version that added rows to the hour",
        ),
        sa.Column(
            "published_version", sa.BigInteger, comment="bronze version the newest publication of the hour has read"
        ),
        sa.Column(
            "dirty_since_version",
            sa.BigInteger,
            comment="a version not above the first unpublished touch; null when clean",
        ),
        sa.Column("cause", sa.Text, nullable=False, comment="why it is dirty: arrival, late or import"),
        sa.Column("touched_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column(
            "attempts", sa.Integer, nullable=False, server_default="0", comment="failed builds since the last good one"
        ),
        sa.Column("next_attempt_at", TIMESTAMP),
        sa.Column("blocked_by", sa.Text, comment="the check or error that stopped the last build"),
        sa.Column("blocked_at", TIMESTAMP),
        sa.Column("last_run_id", sa.Text),
        schema=SCHEMA,
    )
    op.create_index(
        "hours_dirty",
        "hours",
        ["hour"],
        schema=SCHEMA,
        postgresql_where=sa.text("published_version is null or touched_version > published_version"),
    )
    op.create_table(
        "bronze_cursor",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="one_row"), primary_key=True),
        sa.Column(
            "version", sa.BigInteger, nullable=False, comment="newest bronze version whose hours are in control.hours"
        ),
        schema=SCHEMA,
    )
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("beat_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("details", JSONB, nullable=False, server_default="{}"),
        schema=SCHEMA,
    )
    op.create_table(
        "acknowledged",
        sa.Column("app_id", sa.Text, primary_key=True),
        sa.Column("received_hour", TIMESTAMP, primary_key=True),
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column(
            "event_count", sa.BigInteger, nullable=False, comment="acknowledged by the broker; never above the truth"
        ),
        schema=SCHEMA,
    )
    op.create_table(
        "imports",
        sa.Column("import_id", sa.Text, primary_key=True, comment="fingerprint of file content, mapping and app"),
        sa.Column("path_name", sa.Text, nullable=False, comment="file name, for people"),
        sa.Column(
            "row_number", sa.BigInteger, nullable=False, comment="rows acknowledged in order; a resume starts after it"
        ),
        sa.Column("accepted", sa.BigInteger, nullable=False),
        sa.Column("rejected", sa.BigInteger, nullable=False),
        sa.Column("rejected_by_reason", JSONB, nullable=False, server_default="{}"),
        sa.Column("finished_at", TIMESTAMP),
        sa.Column("updated_at", TIMESTAMP, nullable=False, server_default=NOW),
        schema=SCHEMA,
    )
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("details", JSONB, nullable=False, server_default="{}"),
        sa.Column("opened_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("resolved_at", TIMESTAMP),
        schema=SCHEMA,
    )
    op.create_index(
        "alerts_one_open",
        "alerts",
        ["kind", "subject"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("resolved_at is null"),
    )


def downgrade() -> None:
    """Drops them."""
    for table in ("alerts", "imports", "acknowledged", "heartbeats", "bronze_cursor", "hours", "api_keys"):
        op.drop_table(table, schema=SCHEMA)
