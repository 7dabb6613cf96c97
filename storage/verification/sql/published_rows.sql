-- Rows of the three silver tables of the days [first_day, last_day] at the publication, one row per row of theirs.
create or replace temp table published_rows as
select
    'events' as silver_table, kafka_topic, kafka_partition, kafka_offset, app_id, event_id, event_type, contract, occurred_at,
    received_at, ingested_at, event_date, event_hour, family, user_id, platform, is_late, payload_hash,
    details_of(family, content_id, session_id, device_type, location, metadata, payload) as details,
    null::varchar as reason, null::varchar as stage, null::boolean as payload_differs,
    null::varchar as winner_topic, null::integer as winner_partition, null::bigint as winner_offset
from lake.silver.events
where event_date between getvariable('first_day') and getvariable('last_day')
union all by name
select
    'duplicates' as silver_table, kafka_topic, kafka_partition, kafka_offset, app_id, event_id, occurred_at, received_at, ingested_at,
    event_date, event_hour, payload_differs, winner_topic, winner_partition, winner_offset
from lake.silver.duplicates
where event_date between getvariable('first_day') and getvariable('last_day')
union all by name
select
    'quarantine' as silver_table, kafka_topic, kafka_partition, kafka_offset, app_id, event_id, event_type, contract, received_at,
    ingested_at, event_date, event_hour, reason, stage, md5(raw_value) as payload_hash
from lake.silver.quarantine
where event_date between getvariable('first_day') and getvariable('last_day');
