"""The tables of live windows, as SQLAlchemy Core. Alembic creates them; the modules beside this one hold the queries.

All timestamps are timestamptz in UTC. Retention: storage.live.retention.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

SCHEMA = "live"
metadata = sa.MetaData(schema=SCHEMA)


def _at(name: str, *, nullable: bool = True, comment: str | None = None) -> sa.Column[datetime]:
    return sa.Column(name, sa.TIMESTAMP(timezone=True), nullable=nullable, comment=comment)


queries = sa.Table(
    "queries",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("generation", sa.Integer, nullable=False, comment="of the checkpoint in force"),
    sa.Column(
        "plan_version",
        sa.Integer,
        comment="of the query that wrote that checkpoint's state; null before its first start",
    ),
    sa.Column("query_id", sa.Text, comment="Spark's id of that checkpoint; null before its first batch"),
    sa.Column("last_batch", sa.BigInteger, comment="newest batch that is in the tables; null before the first"),
    sa.Column(
        "offsets", JSONB, nullable=False, server_default="{}", comment="one past the last counted, per partition"
    ),
    sa.Column("topic_ids", JSONB, nullable=False, server_default="{}"),
    _at("counted_from", comment="minutes before it are another generation's; null: it counted from the first record"),
    _at("watermark_at", comment="Spark's watermark in the newest batch"),
    _at("closed_before", comment="minutes that end at it or before are closed; never goes back"),
    _at("judged_before", comment="minutes before it were judged for anomalies"),
    _at("updated_at"),
)

minutes = sa.Table(
    "minutes",
    metadata,
    sa.Column("minute", sa.TIMESTAMP(timezone=True), primary_key=True),
    sa.Column("breakdown", sa.Text, primary_key=True, comment="see storage.live.breakdowns"),
    sa.Column("app_id", sa.Text, primary_key=True),
    sa.Column("keys", ARRAY(sa.Text), primary_key=True, comment="in the order of the breakdown's names"),
    sa.Column("event_count", sa.BigInteger, nullable=False),
    sa.Column("success_count", sa.BigInteger, nullable=False),
    sa.Column("failed_count", sa.BigInteger, nullable=False),
    sa.Column("cancelled_count", sa.BigInteger, nullable=False),
    sa.Column("size_mb", sa.Numeric(38, 6)),
    sa.Column("duration_seconds", sa.Numeric(38, 6), comment="sum over successes"),
    sa.Column("speed_mbps", sa.Numeric(38, 6), comment="sum over successes"),
    sa.Column("title", sa.Text, comment="of content: the last one by name"),
    sa.Column("users_sketch", sa.LargeBinary, nullable=False, comment="DataSketches HLL of user ids"),
    sa.Column("batch_id", sa.BigInteger, nullable=False, comment="that wrote it last"),
)

left_out = sa.Table(
    "left_out",
    metadata,
    sa.Column("kafka_topic", sa.Text, primary_key=True),
    sa.Column("kafka_partition", sa.Integer, primary_key=True),
    sa.Column("kafka_offset", sa.BigInteger, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False, comment="late, delayed or unreadable"),
    sa.Column("app_id", sa.Text, nullable=False),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("family", sa.Text, nullable=False),
    sa.Column("event_type", sa.Text, nullable=False),
    _at("occurred_at", nullable=False),
    _at("received_at", nullable=False),
    sa.Column("batch_id", sa.BigInteger, nullable=False),
    sa.Index("left_out_by_time", "occurred_at"),
)

hours = sa.Table(
    "hours",
    metadata,
    sa.Column("hour", sa.TIMESTAMP(timezone=True), primary_key=True),
    _at("closed_at", comment="when its last minute was closed"),
    sa.Column("offsets", JSONB, comment="how far the query was then; bronze must be as far before they are compared"),
    _at("superseded_at", comment="when gold had published it after its end; from then on gold answers"),
    sa.Column("compared_version", sa.BigInteger, comment="bronze version that gold had when they were compared last"),
    _at("compared_at"),
    sa.Column("comparison", JSONB, comment="the newest comparison with gold"),
    _at("removed_at", comment="when retention removed its minutes; it is not compared from then on"),
)

anomalies = sa.Table(
    "anomalies",
    metadata,
    sa.Column("alert_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("app_id", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False, comment="LOW_SUCCESS_RATE or LOW_SPEED"),
    sa.Column("region", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False, comment="WARNING or CRITICAL"),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("value", sa.Float, nullable=False, comment="pooled over the bad minutes"),
    sa.Column("baseline", sa.Float, nullable=False),
    _at("first_minute", nullable=False, comment="start of the first bad minute"),
    _at("opened_at", nullable=False, comment="end of the third bad minute"),
    _at("resolved_at", comment="end of the third healthy minute"),
    _at("acknowledged_at"),
    sa.Column("acknowledged_by", sa.Text),
    sa.Index(
        "anomalies_one_open", "app_id", "type", "region", unique=True, postgresql_where=sa.text("resolved_at is null")
    ),
    sa.Index("anomalies_by_time", "opened_at"),
)
