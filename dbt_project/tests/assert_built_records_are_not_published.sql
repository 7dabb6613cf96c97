{{ config(meta={
    "description": "A record of a growing hour is built or published, never both.",
    "dagster": {"ref": {"name": "stg_bronze_events"}},
}) }}
select published.*
from {{ ref("int_published_records") }} as published
semi join {{ ref("stg_bronze_events") }} as built
    on published.kafka_topic = built.kafka_topic
        and published.kafka_partition = built.kafka_partition
        and published.kafka_offset = built.kafka_offset
