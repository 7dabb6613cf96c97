select
    landed.app_id,
    landed.event_id,
    landed.family,
    landed.event_type,
    landed.user_id,
    landed.platform,
    landed.content_id,
    landed.session_id,
    landed.device_type,
    landed.location,
    landed.metadata,
    landed.payload,
    landed.contract,
    landed.occurred_at,
    landed.received_at,
    landed.ingested_at,
    landed.event_date,
    landed.event_hour,
    landed.received_at - landed.occurred_at > interval {{ late_after_seconds() }} seconds as is_late,
    landed.payload_hash,
    landed.kafka_topic,
    landed.kafka_partition,
    landed.kafka_offset
from {{ ref("stg_bronze_events") }} as landed
anti join {{ ref("duplicates") }} as duplicates
    on landed.kafka_topic = duplicates.kafka_topic
        and landed.kafka_partition = duplicates.kafka_partition
        and landed.kafka_offset = duplicates.kafka_offset
where landed.reason is null
