"""The code that Spark generates for a batch does not depend on when the batch is: else each one is compiled anew."""

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from ingestion.contracts import engagement
from ingestion.contracts.topics import DEAD_LETTER_TOPIC
from streaming.transforms import LandingRules, to_bronze, with_stamp

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.integration
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
