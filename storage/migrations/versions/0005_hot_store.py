"""The hot store's table: live events by day of occurred_at. Its partitions are made by whoever writes."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "hot"
TIMESTAMP = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Creates hot.events with its indexes, without any partition."""
    op.execute(f"create schema if not exists {SCHEMA}")
    op.create_table(
        "events",
        sa.Column("app_id", sa.Text, primary_key=True),
        # Lists are in byte order, whatever the database's language.
        sa.Column("event_id", sa.Text(collation="C"), primary_key=True),
        sa.Column("event_type", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("occurred_at", TIMESTAMP, primary_key=True),
        sa.Column("received_at", TIMESTAMP, nullable=False),
        sa.Column("contract", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False, comment="JSON text, as it was sent unless it was Avro"),
        sa.Column("kafka_partition", sa.Integer, nullable=False),
        sa.Column("kafka_offset", sa.BigInteger, nullable=False, comment="of the first copy"),
        schema=SCHEMA,
        postgresql_partition_by="range (occurred_at)",
    )
    for name, columns in (
        ("events_newest", ["app_id"]),
        ("events_by_type", ["app_id", "event_type"]),
        ("events_by_user", ["app_id", "user_id"]),
    ):
        op.create_index(name, "events", [*columns, sa.text("occurred_at desc"), "event_id"], schema=SCHEMA)


def downgrade() -> None:
    """Drops the table with all its partitions; Kafka and bronze hold what was in it."""
    op.drop_table("events", schema=SCHEMA)
    op.execute(f"drop schema {SCHEMA}")
