"""A replay rebuilds a day with many records in parts, each with its own progress."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SCHEMA = "control"
TABLE = f"{SCHEMA}.replay_days"


def upgrade() -> None:
    """Adds replay_days.first_hour_of_day to the key; days of before are one part."""
    op.add_column(
        "replay_days",
        sa.Column("first_hour_of_day", sa.SmallInteger, comment="0 to 23; a day with many records is several rows"),
        schema=SCHEMA,
    )
    op.execute(f"update {TABLE} set first_hour_of_day = hours[1]")
    op.alter_column("replay_days", "first_hour_of_day", nullable=False, schema=SCHEMA)
    op.drop_constraint("replay_days_pkey", "replay_days", schema=SCHEMA)
    op.create_primary_key("replay_days_pkey", "replay_days", ["replay_id", "day", "first_hour_of_day"], schema=SCHEMA)


def downgrade() -> None:
    """Puts the parts of a day together again: open, and to be tried anew, when one of them is open."""
    op.execute(
        f"create temp table whole_days on commit drop as select replay_id, day, min(first_hour_of_day) as first_hour_of_day, "
        f"(select array_agg(hour order by hour) from {TABLE} as parts, unnest(parts.hours) as hour "
        f"where parts.replay_id = days.replay_id and parts.day = days.day) as hours, sum(row_count) as row_count, "
        f"case when count(*) = count(finished_at) then max(finished_at) end as finished_at, "
        f"case when count(*) = count(finished_at) then max(publication_id) end as publication_id "
        f"from {TABLE} as days group by replay_id, day having count(*) > 1"
    )
    op.execute(
        f"update {TABLE} as days set hours = whole.hours, row_count = whole.row_count, finished_at = whole.finished_at, "
        f"publication_id = whole.publication_id, attempts = 0, next_attempt_at = null, blocked_by = null from whole_days as whole "
        f"where (days.replay_id, days.day, days.first_hour_of_day) = (whole.replay_id, whole.day, whole.first_hour_of_day)"
    )
    op.execute(
        f"delete from {TABLE} as days using whole_days as whole where (days.replay_id, days.day) = "
        f"(whole.replay_id, whole.day) and days.first_hour_of_day > whole.first_hour_of_day"
    )
    op.drop_constraint("replay_days_pkey", "replay_days", schema=SCHEMA)
    op.create_primary_key("replay_days_pkey", "replay_days", ["replay_id", "day"], schema=SCHEMA)
    op.drop_column("replay_days", "first_hour_of_day", schema=SCHEMA)
