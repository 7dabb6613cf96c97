select
    app_id,
    event_id,
    event_type,
    contract,
    reason,
    stage,
    received_at,
    ingested_at,
    event_date,
    event_hour,
    raw_value,
    kafka_topic,
    kafka_partition,
    kafka_offset
from {{ ref("stg_bronze_events") }}
where reason is not null
