"""From bronze-shaped rows to what live windows count, as pure column expressions: no UDF, no action, no session.

Every record of the live topic has one fate, decided here before anything is aggregated, by its stamps and Kafka's timestamp alone, so that
a recount gives the same: counted in the minute in which it occurred, or left out with a reason. What is left out travels through the same
query as a cell of its own, filed under Kafka's timestamp: one batch, one transaction.
Nothing may throw under ANSI rules (see streaming.transforms).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - Spark's own convention
from pyspark.sql.avro.functions import from_avro

from ingestion.contracts import avro_wire, download, engagement, social
from storage.live.breakdowns import Breakdown, LeftOut
from streaming.transforms import is_avro

# How long after it was received a record may reach Kafka and still be counted. An edge that waits longer for its broker gives up; a bridge
# that was down does not.
DELIVERY_GRACE_SECONDS = 120
_WHITE_SPACE = " \t\n\r\x0b\x0c"
_AMOUNT = "decimal(18,6)"
_POST_CREATED = "post_created"
NO_VALUE = "none"
MAX_KEY_BYTES = 512

_BODY = (
    "user_id string, author string, platform string, hashtags array<string>, "
    "content struct<content_id:string,title:string,size_mb:double>, "
    "download struct<status:string,duration_seconds:double,speed_mbps:double,error_code:string>, "
    "user_context struct<region:string,device:string,os_version:string>"
)


@dataclass(frozen=True)
class LiveRules:
    """What the verdict needs beside the record. `writer_schemas` are the Avro schemas that bodies may be written with, by registry id."""

    late_after_seconds: int
    reader_schema: str = ""
    writer_schemas: Mapping[int, str] = field(default_factory=dict)


def to_live(rows: DataFrame, rules: LiveRules) -> DataFrame:
    """One row per record: `clock` (event time of the query), `app_id` and `event_id` (by which copies are known), measures, and `cells`.

    `cells` are the (breakdown, keys) that the record counts in; those of its hashtags are one, which `to_cells` takes apart. A record
    that is left out has an event id of its own: copies of what is late are each in the ledger.
    """
    data = _data(rules)
    read = rows.withColumns(data).withColumns(
        {"family": F.split_part("contract", F.lit("/"), F.lit(1)), "body": _body(list(data))}
    )
    named = read.withColumns(
        {
            "user_id": _user_id(),
            "platform": F.when(_is(engagement.CONTRACT), F.col("body.platform")),
            "left_out": _left_out(rules),
        }
    )
    is_counted = F.col("left_out").isNull()
    # Another family's body may have fields of these names: they are the application's own.
    is_download = is_counted & _is(download.CONTRACT)
    place = F.concat_ws("/", "kafka_topic", F.col("kafka_partition"), F.col("kafka_offset"))
    succeeded = is_download & (F.col("body.download.status") == "success")
    return named.select(
        F.when(is_counted, F.col("occurred_at")).otherwise(F.col("kafka_timestamp")).alias("clock"),
        _storable(F.col("app_id")).alias("app_id"),
        F.when(is_counted, F.col("event_id")).otherwise(F.concat(F.lit("\0"), place)).alias("event_id"),
        F.when(is_counted, F.col("user_id")).alias("user_id"),
        F.when(is_download, _storable(F.col("body.content.title"))).alias("title"),
        *[
            F.when(is_download & (F.col("body.download.status") == status), 1).otherwise(0).alias(status)
            for status in ("success", "failed", "cancelled")
        ],
        F.when(is_download, _amount("body.content.size_mb")).alias("size_mb"),
        F.when(succeeded, _amount("body.download.duration_seconds")).alias("duration_seconds"),
        F.when(succeeded, _amount("body.download.speed_mbps")).alias("speed_mbps"),
        F.when(is_counted, _counted_cells()).otherwise(_left_out_cells()).alias("cells"),
    )


def to_cells(live: DataFrame) -> DataFrame:
    """One row per record and cell: `breakdown` and `keys` beside what the record has.

    Two explosions and no `transform`: for a higher-order function Spark generates no whole stage, and every task of every batch would
    generate the code of `to_live` by itself.
    """
    cells = live.withColumn("cell", F.explode("cells"))
    is_hashtags = F.col("cell.breakdown") == Breakdown.HASHTAG.value
    parts = cells.withColumn("part", F.explode(F.when(is_hashtags, F.col("cell.keys")).otherwise(F.array(F.lit("")))))
    return parts.withColumns(
        {
            "breakdown": F.col("cell.breakdown"),
            "keys": F.when(is_hashtags, F.array(_key(F.col("part")))).otherwise(F.col("cell.keys")),
        }
    )


def _left_out(rules: LiveRules) -> Column:
    """Why a record is not counted, null when it is. What landing rejects is no event; the others gold may count."""
    late = F.expr(f"received_at - occurred_at > INTERVAL {rules.late_after_seconds} SECONDS")
    beyond = rules.late_after_seconds + DELIVERY_GRACE_SECONDS
    delayed = F.expr(f"kafka_timestamp - occurred_at > INTERVAL {beyond} SECONDS")
    return (
        F.when(F.col("rejection_reason").isNotNull(), F.lit(LeftOut.REJECTED.value))
        .when(late, F.lit(LeftOut.LATE.value))
        .when(delayed, F.lit(LeftOut.DELAYED.value))
        .when(~_is_readable(), F.lit(LeftOut.UNREADABLE.value))
    )


def _data(rules: LiveRules) -> dict[str, Column]:
    """The datum of an Avro body by each writer's schema, null where it was written with another.

    Columns of their own, so that each schema is one expression: what Spark makes of one reads Hadoop's default settings, and in every
    task where it is part of a stage without generated code.
    """
    schema_id = F.conv(F.hex(F.substring("value", 2, 4)), 16, 10).cast("bigint")
    datum = F.expr(f"substring(value, {avro_wire.HEADER_BYTES + 1})")
    options = {"mode": "PERMISSIVE", "avroSchema": rules.reader_schema}
    has_datum = F.col("rejection_reason").isNull() & is_avro()
    return {
        f"datum_{number}": F.when(has_datum & (schema_id == number), from_avro(datum, schema, options))
        for number, schema in rules.writer_schemas.items()
    }


def _body(data: Sequence[str]) -> Column:
    """The fields that windows need, of the contracts that have them; `data` names the columns of Avro bodies."""
    has_body = F.col("rejection_reason").isNull() & F.col("contract").isin(
        engagement.CONTRACT, social.CONTRACT, download.CONTRACT
    )
    text = F.when(has_body & ~is_avro(), F.col("value").cast("string"))
    return F.coalesce(*(_avro_body(F.col(name)) for name in data), F.from_json(text, _BODY))


def _avro_body(datum: Column) -> Column:
    """The same struct as of a JSON body."""
    nested = {
        "content": ("content_id", "title", "size_mb"),
        "download": ("status", "duration_seconds", "speed_mbps", "error_code"),
        "user_context": ("region", "device", "os_version"),
    }
    body = F.struct(
        datum["user_id"].alias("user_id"),
        F.lit(None).cast("string").alias("author"),
        F.lit(None).cast("string").alias("platform"),
        F.lit(None).cast("array<string>").alias("hashtags"),
        *[
            F.struct(*[datum[outer][inner].alias(inner) for inner in names]).alias(outer)
            for outer, names in nested.items()
        ],
    )
    return F.when(datum.isNotNull(), body)


def _is_readable() -> Column:
    """False for a body that lacks what its windows are keyed by: the warehouse will say why."""
    return (
        F.when(_is(engagement.CONTRACT), F.col("body.platform").isNotNull())
        .when(
            _is(download.CONTRACT),
            F.col("body.content.content_id").isNotNull()
            & F.col("body.download.status").isNotNull()
            & F.col("body.user_context.region").isNotNull(),
        )
        .when(_is(social.CONTRACT) & (F.col("event_type") == _POST_CREATED), F.col("body.hashtags").isNotNull())
        .otherwise(F.lit(True))
    )


def _user_id() -> Column:
    """The event's user: the body's, trimmed as the contracts do, or the record's key, which is the user id where the edge wrote it."""
    written = F.when(_is(social.CONTRACT), F.coalesce("body.author", "body.user_id")).otherwise(F.col("body.user_id"))
    key = F.try_validate_utf8(F.col("key").cast("string"))
    return F.coalesce(F.btrim(written, F.lit(_WHITE_SPACE)), key)


def _counted_cells() -> Column:
    content, context = F.col("body.content"), F.col("body.user_context")
    is_download = _is(download.CONTRACT)
    return F.flatten(
        F.array(
            F.array(
                _cell(Breakdown.EVENTS, F.col("family"), F.col("event_type"), F.coalesce("platform", F.lit(NO_VALUE)))
            ),
            F.when(
                is_download,
                F.array(
                    _cell(Breakdown.CONTENT, content["content_id"], context["region"]),
                    _cell(Breakdown.DEVICE, context["device"], context["os_version"]),
                    _cell(
                        Breakdown.ERROR,
                        context["region"],
                        F.coalesce(F.col("body.download.error_code"), F.lit(NO_VALUE)),
                    ),
                ),
            ).otherwise(_no_cells()),
            F.when(
                _is(social.CONTRACT) & (F.col("event_type") == _POST_CREATED),
                F.array(
                    F.struct(
                        F.lit(Breakdown.HASHTAG.value).alias("breakdown"),
                        F.array_distinct(F.col("body.hashtags")).alias("keys"),
                    )
                ),
            ).otherwise(_no_cells()),
        )
    )


def _left_out_cells() -> Column:
    """What is no event is counted by reason; every other record is named by its place."""
    return F.array(
        F.when(
            F.col("left_out") == LeftOut.REJECTED.value, _cell(Breakdown.REJECTED, F.col("rejection_reason"))
        ).otherwise(
            _cell(
                Breakdown.LEFT_OUT,
                F.col("left_out"),
                F.col("kafka_topic"),
                F.col("kafka_partition").cast("string"),
                F.col("kafka_offset").cast("string"),
                F.unix_micros("occurred_at").cast("string"),
                F.unix_micros("received_at").cast("string"),
                F.col("event_id"),
                F.col("family"),
                F.col("event_type"),
            )
        )
    )


def _cell(breakdown: Breakdown, *keys: Column) -> Column:
    return F.struct(F.lit(breakdown.value).alias("breakdown"), F.array(*map(_key, keys)).alias("keys"))


def _key(text: Column) -> Column:
    return _storable(F.coalesce(text, F.lit(NO_VALUE)))


def _storable(text: Column) -> Column:
    """The text as PostgreSQL can store and index it; no valid event has another. One that has must not stop the windows of all others."""
    whole = F.translate(text, "\0", "\ufffd")
    return F.when(
        F.octet_length(whole) > MAX_KEY_BYTES, F.concat(F.left(whole, F.lit(100)), F.lit("~"), F.md5(whole))
    ).otherwise(whole)


def _no_cells() -> Column:
    return F.array().cast("array<struct<breakdown:string,keys:array<string>>>")


def _amount(name: str) -> Column:
    """Exact decimals: their sum is the same in every order."""
    return F.col(name).try_cast(_AMOUNT)


def _is(contract: str) -> Column:
    return F.col("contract") == contract
