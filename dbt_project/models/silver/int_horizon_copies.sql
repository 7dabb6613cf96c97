{#-
  The window's keys decide what is read: first their coordinates over the whole horizon, few columns and no body; then the bodies of those
  found, which usually are none. Records that are built are judged already and are not here; earlier ones of a growing hour are.
-#}

with window_keys as (
    select distinct
        app_id,
        event_id
    from {{ ref("stg_bronze_events") }}
    where reason is null
),

candidates as materialized (
    select
        copies.kafka_topic,
        copies.kafka_partition,
        copies.kafka_offset,
        copies.event_date
    from {{ source("bronze", "events") }} as copies
    semi join window_keys
        on copies.app_id = window_keys.app_id
            and copies.event_id = window_keys.event_id
    where
        {{ near_window("copies.event_date", deduplication_horizon_days()) }}
        and copies.dlq_stage is null
        and copies.rejection_reason is null
        and not ({{ in_build("copies.event_hour", "copies.ingested_at") }})
),

landed as (
    select copies.*
    from {{ source("bronze", "events") }} as copies
    semi join candidates
        on copies.event_date = candidates.event_date
            and copies.kafka_topic = candidates.kafka_topic
            and copies.kafka_partition = candidates.kafka_partition
            and copies.kafka_offset = candidates.kafka_offset
    where {{ near_window("copies.event_date", deduplication_horizon_days()) }}
),

judged as (
    {{ judge_bodies("landed") }}
)

select
    app_id,
    event_id,
    occurred_at,
    ingested_at,
    md5(value) as payload_hash,
    kafka_topic,
    kafka_partition,
    kafka_offset
from judged
where reason is null
