-- Silver rows that bronze does not hold at the same coordinates with the same stamps.
select
    silver_table || ' ' || coordinates(published.kafka_topic, published.kafka_partition, published.kafka_offset)
    || case when landed.kafka_offset is null then ' is not in bronze' else ' differs from bronze' end as offence
from published_rows as published
left join landed_rows as landed
    on published.kafka_topic = landed.kafka_topic
    and published.kafka_partition = landed.kafka_partition
    and published.kafka_offset = landed.kafka_offset
where landed.kafka_offset is null
    or published.app_id is distinct from landed.app_id
    or published.event_id is distinct from landed.event_id
    or published.received_at is distinct from landed.received_at
    or published.ingested_at is distinct from landed.ingested_at
    or published.event_date is distinct from landed.event_date
    or published.event_hour is distinct from landed.event_hour
    or (
        published.silver_table <> 'quarantine' and published.occurred_at is distinct from landed.occurred_at
    )
    or (
        published.silver_table <> 'duplicates' and (
            published.event_type is distinct from landed.event_type
            or published.contract is distinct from landed.contract
            or published.payload_hash is distinct from landed.payload_hash
        )
    );
