{#- What checks put beside the build, which holds of a growing hour only what arrived. -#}

select
    'events' as outcome,
    app_id,
    event_id,
    ingested_at,
    event_date,
    event_hour,
    kafka_topic,
    kafka_partition,
    kafka_offset
from {{ source("published_silver", "events_at_base") }}
where
    {{ on_window_days("event_date") }}
    and {{ in_growing_hours("event_hour") }}
union all
select
    'duplicates' as outcome,
    app_id,
    event_id,
    ingested_at,
    event_date,
    event_hour,
    kafka_topic,
    kafka_partition,
    kafka_offset
from {{ source("published_silver", "duplicates_at_base") }}
where
    {{ on_window_days("event_date") }}
    and {{ in_growing_hours("event_hour") }}
union all
select
    'quarantine' as outcome,
    app_id,
    event_id,
    ingested_at,
    event_date,
    event_hour,
    kafka_topic,
    kafka_partition,
    kafka_offset
from {{ source("published_silver", "quarantine_at_base") }}
where
    {{ on_window_days("event_date") }}
    and {{ in_growing_hours("event_hour") }}
