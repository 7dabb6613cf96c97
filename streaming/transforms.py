"""From a Kafka record to a row of bronze, as pure column expressions: no UDF, no action, no session.

In two parts: what a record alone determines belongs to the query, which analyses it once (making these columns anew costs a
batch 0.2 s); the stamp is the batch's.

Nothing here may throw under ANSI rules: one bad record would stop landing for ever. So headers are looked up and never made
a map (a repeated name throws), bytes become text only when they are valid UTF-8, and times are parsed by try_ functions.
"""

from dataclasses import dataclass
from datetime import date, datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - Spark's own convention

from ingestion.contracts import avro_wire, headers
from ingestion.contracts.clocks import FUTURE_TOLERANCE_SECONDS
from ingestion.contracts.reasons import Reason
from streaming.commit_metadata import format_instant
from streaming.schemas import bronze_column_names

STAMP = "ingested_at"
CALENDAR = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z")
UNKNOWN_APP_ID = "unknown"

_CONSUMER = headers.CONSUMER_STAGE.decode()
_EDGE = headers.EDGE_STAGE.decode()

# try_to_timestamp alone also takes '2015' and '10:20' (today's date: not even the same answer tomorrow).
RFC3339_PATTERN = r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$"

CANONICAL_LENGTH = len("2026-11-21T09:30:00.000000Z")


@dataclass(frozen=True)
class LandingRules:
    """What the transform needs to know beside the records."""

    dead_letter_topic: str
    contracts: tuple[str, ...]
    first_day: date


def to_bronze(records: DataFrame, rules: LandingRules) -> DataFrame:
    """Rows of bronze for `records` as the Kafka source gives them, without the stamp. One row each, none left out."""
    dead_letter_topic, first_day = rules.dead_letter_topic, rules.first_day
    read = records.select(
        F.col("topic").alias("kafka_topic"),
        F.col("partition").alias("kafka_partition"),
        F.col("offset").alias("kafka_offset"),
        F.col("timestamp").alias("kafka_timestamp"),
        "key",
        "value",
        "headers",
        _header_text(headers.EVENT_ID).alias("event_id"),
        _header_text(headers.SOURCE).alias("source"),
        _header_text(headers.EVENT_TYPE).alias("event_type"),
        _header_text(headers.DATA_SCHEMA).alias("contract"),
        _header_text(headers.OCCURRED_AT).alias("occurred_text"),
        _header_text(headers.RECEIVED_AT).alias("received_text"),
        _dead_letter_header(dead_letter_topic, headers.DEAD_LETTER_STAGE).alias("stage"),
        _dead_letter_header(dead_letter_topic, headers.DEAD_LETTER_REASON).alias("reason"),
    )
    parsed = read.withColumns(
        {"occurred_at": _instant(F.col("occurred_text")), "received_at": _instant(F.col("received_text"))}
    )
    timed = parsed.withColumns({name: _within_calendar(name) for name in ("occurred_at", "received_at")})
    counted_at = F.when(_is_plausible("occurred_at", first_day), F.col("occurred_at")).otherwise(
        F.when(_is_plausible("received_at", first_day), F.col("received_at")).otherwise(F.col("kafka_timestamp"))
    )
    is_dead_letter = F.col("kafka_topic") == dead_letter_topic
    return timed.withColumns(
        {
            "headers": F.when(_stamps_say_all(), F.lit(None)).otherwise(F.col("headers")),
            "app_id": F.coalesce(F.col("source"), F.lit(UNKNOWN_APP_ID)),
            "event_date": F.to_date(counted_at),
            "event_hour": F.date_trunc("HOUR", counted_at),
            "dlq_stage": F.when(
                is_dead_letter, F.when(F.col("stage") == _CONSUMER, F.col("stage")).otherwise(F.lit(_EDGE))
            ),
            "rejection_reason": F.when(
                is_dead_letter, F.coalesce(F.col("reason"), F.lit(Reason.MISSING_HEADER.value))
            ).otherwise(_rejection_reason(rules.contracts, first_day)),
        }
    ).select(*[name for name in bronze_column_names() if name != STAMP])


def with_stamp(rows: DataFrame, moment: datetime) -> DataFrame:
    """The rows of one batch with its stamp, as last column.

    The generated code is the same for every moment. Spark writes a timestamp literal into it: every batch would be compiled anew, by
    Spark and by the JVM. An array goes in by reference; its index must not be a constant, or the optimiser takes the element out again.
    """
    moments = F.array(F.lit(format_instant(moment)).cast("timestamp"))
    return rows.withColumn(STAMP, F.get(moments, F.pmod(F.col("kafka_partition"), F.lit(1))))


def _rejection_reason(contracts: tuple[str, ...], first_day: date) -> Column:
    """Why a record of an event topic is not an event; null when it is good. The first rule that fails names it."""
    value = F.col("value").cast("string")
    rules = (
        (F.col("value").isNull() | (F.length("value") == 0), Reason.EMPTY_VALUE),
        (_any_is_missing(*_REQUIRED), Reason.MISSING_HEADER),
        (~F.col("contract").isin(*contracts), Reason.UNKNOWN_CONTRACT),
        (F.col("received_at").isNull(), Reason.BAD_RECEIVED_AT),
        (F.col("occurred_at").isNull(), Reason.BAD_OCCURRED_AT),
        (F.col("occurred_at") < _midnight(first_day), Reason.BEFORE_FIRST_DAY),
        (F.col("occurred_at") > _latest_plausible(), Reason.OCCURRED_IN_FUTURE),
        (~F.is_valid_utf8(F.col("value")) & ~is_avro(), Reason.INVALID_UTF8),
        # The user id in the value is the truth; it is looked for only where the key does not already show it.
        (F.col("key").isNull() & F.get_json_object(value, "$.user_id").isNull(), Reason.NULL_KEY),
    )
    reason = F.lit(None).cast("string")
    for condition, name in reversed(rules):
        reason = F.when(condition, F.lit(name.value)).otherwise(reason)
    return reason


def is_avro() -> Column:
    """Whether the body is Avro, which silver decodes by its writer's schema; asked only of values that are no text."""
    is_marked = F.substring("value", 1, 1) == F.lit(avro_wire.MAGIC)
    return F.col("contract").isin(*avro_wire.CONTRACTS) & is_marked


_REQUIRED = ("event_id", "source", "event_type", "contract", "occurred_text", "received_text")


def _any_is_missing(*names: str) -> Column:
    missing = F.lit(False)
    for name in names:
        missing = missing | F.col(name).isNull() | (F.col(name) == "")
    return missing


def _header_text(name: str) -> Column:
    """The first header of that name as text; null when absent, null or not UTF-8.

    By position and not by `filter`: higher-order functions are interpreted, row by row and header by header.
    """
    place = F.array_position(F.col("headers")["key"], name) - 1  # -1 when absent: `get` gives null there
    return F.try_validate_utf8(F.get(F.col("headers")["value"], place).cast("string"))


def _stamps_say_all() -> Column:
    """Whether the headers can be made again from the columns, to the byte. Writing them a second time takes a fifth of landing.

    A text holds its header's own bytes: where it is not null, the first header of that name is whole. Repeated, foreign and missing
    names make another list of names. Times are as the API writes them, or the instant alone would not say how they were spelt.
    """
    names, values = F.col("headers")["key"], F.col("headers")["value"]
    says_all = names == F.array(*[F.lit(name) for name in headers.STAMPS])
    says_all = says_all & (F.get(values, F.lit(0)) == F.lit(headers.SPEC_VERSION_VALUE))
    for name in ("event_id", "source", "event_type", "contract"):
        says_all = says_all & F.col(name).isNotNull()
    for instant, text in (("occurred_at", "occurred_text"), ("received_at", "received_text")):
        says_all = says_all & F.col(instant).isNotNull() & _is_canonical(F.col(text))
    return says_all


def _is_canonical(time: Column) -> Column:
    """Whether a text that is an instant is spelt as `format_utc` does, in microseconds and Z. (Lower case is no instant to Spark.)"""
    return (F.octet_length(time) == CANONICAL_LENGTH) & time.endswith("Z")


def _dead_letter_header(dead_letter_topic: str, name: str) -> Column:
    return F.when(F.col("topic") == dead_letter_topic, _header_text(name))


def _instant(text: Column) -> Column:
    """The instant that RFC 3339 `text` names; null for anything else."""
    return F.when(text.rlike(RFC3339_PATTERN), F.try_to_timestamp(text))


def _within_calendar(name: str) -> Column:
    """The instant, or null outside the years 1 to 9999: beyond them (a zone can do it) readers' calendars end."""
    first, last = (F.lit(text).cast("timestamp") for text in CALENDAR)
    return F.when(F.col(name).between(first, last), F.col(name))


def _midnight(day: date) -> Column:
    return F.lit(f"{day.isoformat()}T00:00:00Z").cast("timestamp")


def _latest_plausible() -> Column:
    return F.col("kafka_timestamp") + F.expr(f"INTERVAL {FUTURE_TOLERANCE_SECONDS} SECONDS")


def _is_plausible(name: str, first_day: date) -> Column:
    """Known, not before the first day, and not ahead of the broker's clock by more than the tolerance."""
    return F.col(name).between(_midnight(first_day), _latest_plausible())
