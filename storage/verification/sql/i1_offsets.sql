-- One row per topic and partition of bronze: what it holds of Kafka's offsets.
select
    kafka_topic, kafka_partition,
    count(*) as row_count,
    count(distinct kafka_offset) as offset_count,
    min(kafka_offset) as first_offset,
    max(kafka_offset) as last_offset
from bronze
group by kafka_topic, kafka_partition
order by kafka_topic, kafka_partition;
