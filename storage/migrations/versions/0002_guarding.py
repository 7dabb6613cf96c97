"""Keys that tell what they are and end, buckets of the rate limit, and idempotency keys that were used."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "control"
TIMESTAMP = sa.TIMESTAMP(timezone=True)
KEY_COLUMNS = ("prefix", "last_four", "last_used_at", "expires_at")


def upgrade() -> None:
    """Adds columns to api_keys; creates rate_buckets and idempotency_keys."""
    for column in (
        sa.Column(
            "prefix", sa.Text, nullable=False, server_default="", comment="first characters of the key, for people"
        ),
        sa.Column("last_four", sa.Text, nullable=False, server_default="", comment="last characters of the key"),
        sa.Column("last_used_at", TIMESTAMP),
        sa.Column("expires_at", TIMESTAMP),
    ):
        op.add_column("api_keys", column, schema=SCHEMA)
    op.create_table(
        "rate_buckets",
        sa.Column("bucket_id", sa.Text, primary_key=True, comment="app and key, or app and client address"),
        sa.Column("tokens", sa.Float, nullable=False, comment="requests that may still be leased, at refreshed_at"),
        sa.Column("granted", sa.Integer, nullable=False, comment="what the newest lease was given"),
        sa.Column("refreshed_at", TIMESTAMP, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("app_id", sa.Text, primary_key=True),
        sa.Column("idempotency_key", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Text, nullable=False, comment="the id that the key was first acknowledged with"),
        sa.Column("expires_at", TIMESTAMP, nullable=False),
        schema=SCHEMA,
    )
    op.create_index("idempotency_keys_expiry", "idempotency_keys", ["expires_at"], schema=SCHEMA)


def downgrade() -> None:
    """Drops them."""
    op.drop_table("idempotency_keys", schema=SCHEMA)
    op.drop_table("rate_buckets", schema=SCHEMA)
    for name in KEY_COLUMNS:
        op.drop_column("api_keys", name, schema=SCHEMA)
