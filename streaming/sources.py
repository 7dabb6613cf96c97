"""Kafka as a stream. Holds the options of the source and nothing about what records mean."""

import json
from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession

from streaming.commit_metadata import Offsets

EARLIEST = -2


def starting_offsets_json(partitions: Mapping[str, list[int]], starts: Offsets) -> str:
    """Spark's `startingOffsets` for a query without checkpoint: `starts` where known, else the oldest record.

    Spark wants every partition of every topic named; a topic without any known start makes no difference to it.
    """
    if not starts:
        return "earliest"
    named = {
        topic: {str(p): starts.get(topic, {}).get(p, EARLIEST) for p in sorted(numbers)}
        for topic, numbers in partitions.items()
    }
    return json.dumps(named, sort_keys=True)


def read_kafka(
    spark: SparkSession,
    *,
    bootstrap_servers: str,
    topics: tuple[str, ...],
    max_offsets: int,
    starting_offsets: str = "earliest",
) -> DataFrame:
    """Records of `topics` with their headers. A record that the broker no longer has stops the query: nothing is skipped."""
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", bootstrap_servers)
        .option("subscribe", ",".join(topics))
        .option("startingOffsets", starting_offsets)
        .option("failOnDataLoss", "true")
        .option("includeHeaders", "true")
        .option("maxOffsetsPerTrigger", str(max_offsets))
        # The consumer's default of 500 records per poll is made for slow handlers. Spark keeps what a poll brought, per partition, for five
        # minutes: with 20,000 the heap was full of records after a dozen queries.
        .option("kafka.max.poll.records", "4000")
        .option("kafka.max.partition.fetch.bytes", str(8 * 1024 * 1024))
        .option("kafka.fetch.max.bytes", str(32 * 1024 * 1024))
        .option("kafka.receive.buffer.bytes", str(1024 * 1024))
        # After every poll Spark asks for the partition's ends, over the connection on which the consumer has asked for more already. At
        # the end of the log the broker holds that request, and with it the next one, for this long: 500 ms by default, per partition.
        .option("kafka.fetch.max.wait.ms", "5")
        # 120 s by default: a batch that meets a dead broker should fail and be restarted well before that.
        .option("kafkaConsumer.pollTimeoutMs", "30000")
        .load()
    )
