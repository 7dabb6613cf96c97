{#-
  What a redrive produced says in a header which quarantined record it recovers. Told in the hour of the recovered event, as a duplicate is
  told in its own: the quarantined record's hour is not built again, and both rows stay a function of their own hour's records.
-#}

with landed as (
    select
        kafka_topic,
        kafka_partition,
        kafka_offset,
        string_split({{ header_text("headers", "ce_redriveof") }}, '/') as origin
    from {{ source("bronze", "events") }} as records
    where
        {{ on_window_days("event_date") }}
        and {{ in_build("records.event_hour", "records.ingested_at") }}
        and headers is not null
        and dlq_stage is null
)

select
    judged.app_id,
    judged.event_id,
    judged.received_at,
    judged.ingested_at,
    judged.event_date,
    judged.event_hour,
    landed.kafka_topic,
    landed.kafka_partition,
    landed.kafka_offset,
    landed.origin[1] as origin_topic,
    try_cast(landed.origin[2] as integer) as origin_partition,
    try_cast(landed.origin[3] as bigint) as origin_offset
from landed
inner join {{ ref("stg_bronze_events") }} as judged
    on landed.kafka_topic = judged.kafka_topic
        and landed.kafka_partition = judged.kafka_partition
        and landed.kafka_offset = judged.kafka_offset
where
    judged.reason is null
    and len(landed.origin) = 3
    and try_cast(landed.origin[2] as integer) is not null
    and try_cast(landed.origin[3] as bigint) is not null
