{#- One pass over the bytes of what is built. Everything behind reads this table, so that no body is parsed twice. -#}

with landed as (
    select *
    from {{ source("bronze", "events") }} as records
    where
        {{ on_window_days("event_date") }}
        and {{ in_build("records.event_hour", "records.ingested_at") }}
        and dlq_stage is distinct from 'consumer'
),

judged as (
    {{ judge_bodies("landed") }}
)

select
    app_id,
    event_id,
    case when reason is null then split_part(contract, '/', 1) end as family,
    event_type,
    case when reason is null then {{ actor() }} end as user_id,
    case when reason is null and {{ is_of_family("engagement") }} then fields.platform ->> '$' end as platform,
    case when reason is null and {{ is_of_family("engagement") }} then fields.content_id ->> '$' end as content_id,
    case when reason is null and {{ is_of_family("engagement") }} then fields.session_id ->> '$' end as session_id,
    case when reason is null and {{ is_of_family("engagement") }} then fields.device_type ->> '$' end as device_type,
    case when reason is null and {{ is_of_family("engagement") }} then fields.location ->> '$' end as location,
    case when reason is null and {{ is_of_family("engagement") }} then fields.metadata::varchar end as metadata,
    case
        when reason is not null or {{ is_of_family("engagement") }} then null
        when {{ is_of_family("generic") }} then fields.payload::varchar
        else json_merge_patch(body, {{ without_envelope() }})::varchar
    end as payload,
    contract,
    reason,
    case when reason is not null then stage end as stage,
    occurred_at,
    received_at,
    ingested_at,
    event_date,
    event_hour,
    case when reason is null then md5(value) end as payload_hash,
    case when reason is not null then value end as raw_value,
    kafka_topic,
    kafka_partition,
    kafka_offset
from judged
