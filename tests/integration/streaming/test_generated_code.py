"""The code that Spark generates for a batch does not depend on when the batch is, and is generated once a batch: see decisions 7 and 38."""

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from ingestion.contracts import download, engagement
from ingestion.contracts.avro_wire import decodable
from ingestion.contracts.formats import avro
from ingestion.contracts.registry import CONTRACTS
from ingestion.contracts.topics import DEAD_LETTER_TOPIC
from streaming.live_events import LiveRules, to_cells, to_live
from streaming.transforms import LandingRules, to_bronze, with_stamp

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.integration
RECORDS = (
    "topic string, partition int, offset bigint, timestamp timestamp, key binary, value binary,"
    " headers array<struct<key:string,value:binary>>"
)
MOMENTS = (datetime(2026, 1, 5, 10, 0, 0, 123456, tzinfo=UTC), datetime(2026, 1, 5, 10, 0, 1, tzinfo=UTC))


def landed(spark: "SparkSession", moment: datetime) -> "DataFrame":
    records = spark.range(2).selectExpr(
        "'events.raw.v1' as topic",
        "cast(id as int) as partition",
        "id as offset",
        "timestamp'2026-01-05T10:00:00Z' as timestamp",
        "cast(cast(id as string) as binary) as key",
        "cast('{}' as binary) as value",
        "array(struct('ce_id' as key, cast(cast(id as string) as binary) as value)) as headers",
    )
    rules = LandingRules(DEAD_LETTER_TOPIC, (engagement.CONTRACT,), date(2015, 1, 1))
    return with_stamp(to_bronze(records, rules), moment)


def test_batches_of_different_moments_share_their_code(spark: "SparkSession") -> None:
    codes = []
    for moment in MOMENTS:
        rows = landed(spark, moment)
        stages = rows._jdf.queryExecution().debug().codegenToSeq()
        codes.append([stages.apply(number)._2() for number in range(stages.size())])
        assert {row.at for row in rows.selectExpr("unix_micros(ingested_at) as at").collect()} == {
            round(moment.timestamp() * 1_000_000)
        }
    assert codes[0]
    assert codes[0] == codes[1]


def test_the_verdict_of_live_windows_is_code_of_whole_stages(spark: "SparkSession") -> None:
    """A higher-order function would keep its projection out of one, and every task would generate its code; so would each copy of an Avro
    expression read Hadoop's settings again."""
    schema = json.dumps(decodable(json.dumps(avro.schema(CONTRACTS[download.CONTRACT]))))
    # Of an RDD, or the optimizer would work out what it can from the rows.
    records = spark.createDataFrame(spark.sparkContext.parallelize([]), RECORDS)
    rows = to_bronze(records, LandingRules(DEAD_LETTER_TOPIC, tuple(CONTRACTS), date(2015, 1, 1)))
    live = to_live(rows, LiveRules(600, schema, {1: schema, 2: schema}))
    plan = live._jdf.queryExecution().optimizedPlan().toString()

    assert "lambda" not in plan
    assert plan.count("from_avro(") == 2
    cells = to_cells(spark.createDataFrame(spark.sparkContext.parallelize([]), live.schema))
    assert "lambda" not in cells._jdf.queryExecution().optimizedPlan().toString()
