"""The control tables, once, as SQLAlchemy Core. Alembic migrations create them; modules beside this one hold the queries.

All timestamps are timestamptz in UTC. Versions are Delta versions of bronze.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "control"
metadata = sa.MetaData(schema=SCHEMA)


def _at(name: str, *, nullable: bool = True, now: bool = False, comment: str | None = None) -> sa.Column[datetime]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.TIMESTAMP(timezone=True), nullable=nullable, server_default=default, comment=comment)


api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("key_hash", sa.Text, primary_key=True, comment="SHA-256 of the key, hex; the key itself is never stored"),
    sa.Column("key_id", sa.Text, nullable=False, unique=True, comment="public name of the key, safe to log"),
    sa.Column("app_id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, sa.CheckConstraint("kind in ('write', 'read')", name="kind_is_known"), nullable=False),
    _at("created_at", nullable=False, now=True),
    _at("revoked_at"),
    sa.Column("prefix", sa.Text, nullable=False, server_default="", comment="first characters of the key, for people"),
    sa.Column("last_four", sa.Text, nullable=False, server_default="", comment="last characters of the key"),
    _at("last_used_at"),
    _at("expires_at"),
)

hours = sa.Table(
    "hours",
    metadata,
    sa.Column("hour", sa.TIMESTAMP(timezone=True), primary_key=True, comment="UTC hour of event_hour in bronze"),
    sa.Column(
        "touched_version", sa.BigInteger, nullable=False, comment="newest bronze version that added rows to the hour"
    ),
    sa.Column("published_version", sa.BigInteger, comment="bronze version the newest publication of the hour has read"),
    sa.Column(
        "dirty_since_version", sa.BigInteger, comment="a version not above the first unpublished touch; null when clean"
    ),
    sa.Column("cause", sa.Text, nullable=False, comment="why it is dirty: arrival, late or import"),
    _at("touched_at", nullable=False, now=True),
    sa.Column(
        "attempts", sa.Integer, nullable=False, server_default="0", comment="failed builds since the last good one"
    ),
    _at("next_attempt_at"),
    sa.Column("blocked_by", sa.Text, comment="the check or error that stopped the last build"),
    _at("blocked_at"),
    sa.Column("last_run_id", sa.Text),
    sa.Column(
        "rules_version",
        sa.Text,
        comment="what decided the published rows besides bronze; null while they may come by anything else",
    ),
    sa.Index(
        "hours_dirty",
        "hour",
        postgresql_where=sa.text("published_version is null or touched_version > published_version"),
    ),
)

bronze_cursor = sa.Table(
    "bronze_cursor",
    metadata,
    sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="one_row"), primary_key=True),
    sa.Column(
        "version", sa.BigInteger, nullable=False, comment="newest bronze version whose hours are in control.hours"
    ),
)

heartbeats = sa.Table(
    "heartbeats",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _at("beat_at", nullable=False, now=True),
    sa.Column("details", JSONB, nullable=False, server_default="{}"),
)

acknowledged = sa.Table(
    "acknowledged",
    metadata,
    sa.Column("app_id", sa.Text, primary_key=True),
    sa.Column("received_hour", sa.TIMESTAMP(timezone=True), primary_key=True),
    sa.Column("topic", sa.Text, primary_key=True),
    sa.Column(
        "event_count", sa.BigInteger, nullable=False, comment="acknowledged by the broker; never above the truth"
    ),
)

imports = sa.Table(
    "imports",
    metadata,
    sa.Column("import_id", sa.Text, primary_key=True, comment="fingerprint of file content, mapping and app"),
    sa.Column("path_name", sa.Text, nullable=False, comment="file name, for people"),
    sa.Column(
        "row_number", sa.BigInteger, nullable=False, comment="rows acknowledged in order; a resume starts after it"
    ),
    sa.Column("accepted", sa.BigInteger, nullable=False),
    sa.Column("rejected", sa.BigInteger, nullable=False),
    sa.Column("rejected_by_reason", JSONB, nullable=False, server_default="{}"),
    _at("finished_at"),
    _at("updated_at", nullable=False, now=True),
)

redrive_requests = sa.Table(
    "redrive_requests",
    metadata,
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
    sa.Column("counts", JSONB, nullable=False, server_default="{}", comment="rows by outcome, and by reason within it"),
    _at("started_at", nullable=False, now=True),
    _at("finished_at"),
)

redrive_outcomes = sa.Table(
    "redrive_outcomes",
    metadata,
    sa.Column("request_id", sa.Text, sa.ForeignKey(redrive_requests.c.request_id), primary_key=True),
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
    _at("decided_at", nullable=False, now=True),
    sa.Index(
        "redrive_outcomes_once",
        "kafka_topic",
        "kafka_partition",
        "kafka_offset",
        unique=True,
        postgresql_where=sa.text("outcome = 'redriven'"),
    ),
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("alert_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("details", JSONB, nullable=False, server_default="{}"),
    _at("opened_at", nullable=False, now=True),
    _at("resolved_at"),
    sa.Index("alerts_one_open", "kind", "subject", unique=True, postgresql_where=sa.text("resolved_at is null")),
)

replays = sa.Table(
    "replays",
    metadata,
    sa.Column("replay_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("first_hour", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("end_hour", sa.TIMESTAMP(timezone=True), nullable=False, comment="one hour past the last"),
    sa.Column("app_id", sa.Text, nullable=False, server_default="", comment="only hours with its records; empty: all"),
    sa.Column("event_type", sa.Text, nullable=False, server_default="", comment="the same for a type of event"),
    _at("requested_at", nullable=False, now=True),
    _at("cancelled_at"),
    _at("finished_at"),
    sa.Index(
        "replays_one_active",
        "first_hour",
        "end_hour",
        "app_id",
        "event_type",
        unique=True,
        postgresql_where=sa.text("finished_at is null and cancelled_at is null"),
    ),
)

replay_days = sa.Table(
    "replay_days",
    metadata,
    sa.Column("replay_id", sa.BigInteger, sa.ForeignKey(replays.c.replay_id, ondelete="cascade"), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column(
        "first_hour_of_day",
        sa.SmallInteger,
        primary_key=True,
        comment="0 to 23; a day with many records is several rows",
    ),
    sa.Column("hours", sa.ARRAY(sa.SmallInteger), nullable=False, comment="UTC hours of the day to rebuild, 0 to 23"),
    sa.Column("row_count", sa.BigInteger, nullable=False, comment="bronze records in them when it was planned"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0", comment="builds that began"),
    _at("next_attempt_at"),
    sa.Column("blocked_by", sa.Text, comment="the check or error that stopped the last build"),
    _at("finished_at"),
    sa.Column("publication_id", sa.BigInteger, comment="null: nothing differed from what was published"),
    sa.Column("bronze_version", sa.BigInteger, comment="what the build has read"),
    sa.Column("last_run_id", sa.Text),
)

plans = sa.Table(
    "plans",
    metadata,
    sa.Column("plan_id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("fingerprint", sa.Text, nullable=False, comment="hours, base, bronze version and code: SHA-256, hex"),
    sa.Column("state", sa.Text, nullable=False, comment="building, ready, applied, dropped or expired"),
    sa.Column("hours", JSONB, nullable=False, comment="half-open ranges [from, to)"),
    sa.Column("base_publication_id", sa.BigInteger),
    sa.Column("base_snapshot_id", sa.BigInteger, comment="the lake's snapshot that it is compared with"),
    sa.Column("bronze_version", sa.BigInteger, nullable=False),
    _at("landed_until", comment="ingested_at of the newest row of its bronze version"),
    sa.Column("code_version", sa.Text, nullable=False),
    sa.Column("file_hash", sa.Text, comment="SHA-256 of the kept build file, hex"),
    sa.Column("differences", JSONB, nullable=False, server_default="[]", comment="per table and day"),
    sa.Column("publication_id", sa.BigInteger, comment="what applying it published; null when nothing differed"),
    _at("created_at", nullable=False, now=True),
    _at("expires_at", nullable=False),
    _at("closed_at"),
)

rate_buckets = sa.Table(
    "rate_buckets",
    metadata,
    sa.Column("bucket_id", sa.Text, primary_key=True, comment="app and key, or app and client address"),
    sa.Column("tokens", sa.Float, nullable=False, comment="requests that may still be leased, at refreshed_at"),
    sa.Column("granted", sa.Integer, nullable=False, comment="what the newest lease was given"),
    _at("refreshed_at", nullable=False),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("app_id", sa.Text, primary_key=True),
    sa.Column("idempotency_key", sa.Text, primary_key=True),
    sa.Column("event_id", sa.Text, nullable=False, comment="the id that the key was first acknowledged with"),
    _at("expires_at", nullable=False),
    sa.Index("idempotency_keys_expiry", "expires_at"),
)

experiments = sa.Table(
    "experiments",
    metadata,
    sa.Column("app_id", sa.Text, primary_key=True),
    sa.Column("experiment_id", sa.Text, primary_key=True),
    sa.Column("variants", JSONB, nullable=False, comment="names in order; the first is the control"),
    sa.Column("shares", JSONB, nullable=False, comment="configured shares in the order of the variants, sum 1"),
    _at("starts_at"),
    _at("ends_at"),
    _at("created_at", nullable=False, now=True),
    _at("updated_at", nullable=False, now=True),
)

registry_schemas = sa.Table(
    "registry_schemas",
    metadata,
    sa.Column(
        "schema_id", sa.Integer, primary_key=True, autoincrement=False, comment="what Avro records carry; for ever"
    ),
    sa.Column("schema_text", sa.Text, nullable=False, comment="canonical JSON text"),
    sa.Column("fingerprint", sa.Text, nullable=False, unique=True, comment="SHA-256 of the text, hex"),
    _at("registered_at", nullable=False, now=True),
)

registry_versions = sa.Table(
    "registry_versions",
    metadata,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, comment="from 1 within the subject"),
    sa.Column("schema_id", sa.Integer, sa.ForeignKey(registry_schemas.c.schema_id), nullable=False),
    _at("registered_at", nullable=False, now=True),
    _at("deleted_at"),
)

registry_levels = sa.Table(
    "registry_levels",
    metadata,
    sa.Column("subject", sa.Text, primary_key=True, comment="empty: the level of all subjects without one"),
    sa.Column("level", sa.Text, nullable=False),
)
