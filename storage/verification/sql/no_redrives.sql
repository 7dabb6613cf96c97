-- A publication from before redrives were published: it holds none.
create or replace temp view published_redrives as
select
    kafka_topic, kafka_partition, kafka_offset, app_id, event_id, received_at, ingested_at, event_date, event_hour,
    kafka_topic as origin_topic, kafka_partition as origin_partition, kafka_offset as origin_offset
from lake.silver.quarantine
where false;
