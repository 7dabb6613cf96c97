-- Batches (ingested_at) of one partition whose offsets do not follow the batch before: the landing order that deduplication rests on.
with batches as (
    select kafka_topic, kafka_partition, ingested_at, min(kafka_offset) as first_offset, max(kafka_offset) as last_offset
    from bronze
    group by all
),
followed as (
    select *, lag(last_offset) over (partition by kafka_topic, kafka_partition order by ingested_at) as previous_offset from batches
)
select coordinates(kafka_topic, kafka_partition, first_offset) || ' is stamped ' || ingested_at || ', after offset ' || previous_offset as offence
from followed
where first_offset <= previous_offset;
