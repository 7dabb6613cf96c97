-- Recovered events whose origin bronze does not hold as a record that landed earlier, of the same app or of none.
select
    'redrive ' || coordinates(redrives.kafka_topic, redrives.kafka_partition, redrives.kafka_offset) || ' names '
    || coordinates(redrives.origin_topic, redrives.origin_partition, redrives.origin_offset) || ', which is no earlier record of its app'
    as offence
from published_redrives as redrives
left join bronze as origins
    on redrives.origin_topic = origins.kafka_topic
    and redrives.origin_partition = origins.kafka_partition
    and redrives.origin_offset = origins.kafka_offset
    and origins.dlq_stage is distinct from 'consumer'
    and origins.ingested_at < redrives.ingested_at
    and origins.app_id in (redrives.app_id, 'unknown')
where origins.kafka_offset is null;
