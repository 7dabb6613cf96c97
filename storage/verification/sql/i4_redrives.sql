-- Recovered events of the days [first_day, last_day] that are published otherwise than bronze's own headers say.
with expected as (
    select
        redrives.app_id, redrives.event_id, redrives.received_at, redrives.ingested_at, redrives.event_date, redrives.event_hour,
        redrives.kafka_topic, redrives.kafka_partition, redrives.kafka_offset,
        redrives.origin_topic, redrives.origin_partition, redrives.origin_offset
    from bronze_redrives as redrives
    inner join landed_rows as landed
        on redrives.kafka_topic = landed.kafka_topic
        and redrives.kafka_partition = landed.kafka_partition
        and redrives.kafka_offset = landed.kafka_offset
    where landed.is_due and landed.expected_table <> 'quarantine'
),
published as (
    select
        app_id, event_id, received_at, ingested_at, event_date, event_hour, kafka_topic, kafka_partition, kafka_offset,
        origin_topic, origin_partition, origin_offset
    from published_redrives
    where event_date between getvariable('first_day') and getvariable('last_day')
)
select 'missing ' || missing::varchar as offence from (from expected except all from published) as missing
union all
select 'surplus ' || surplus::varchar as offence from (from published except all from expected) as surplus;
