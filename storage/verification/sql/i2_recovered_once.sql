-- Quarantined records that were recovered as more than one event, whatever lies between these in time.
select
    'quarantined ' || coordinates(redrives.origin_topic, redrives.origin_partition, redrives.origin_offset) || ' is in silver.events '
    || count(*) || ' times: '
    || string_agg(coordinates(redrives.kafka_topic, redrives.kafka_partition, redrives.kafka_offset), ', ' order by redrives.kafka_offset)
    as offence
from published_redrives as redrives
inner join lake.silver.events as events
    on redrives.event_date = events.event_date
    and redrives.kafka_topic = events.kafka_topic
    and redrives.kafka_partition = events.kafka_partition
    and redrives.kafka_offset = events.kafka_offset
group by redrives.origin_topic, redrives.origin_partition, redrives.origin_offset
having count(*) > 1;
