{#- Sums add up, so a growing hour is what is published of it and what arrived. -#}

with parts as (
    select
        app_id,
        payload ->> '$.user_context.region' as region,
        coalesce(payload ->> '$.download.error_code', 'none') as error_code,
        event_date,
        event_hour,
        1 as event_count,
        ((payload ->> '$.download.status') = 'success')::bigint as success_count,
        ((payload ->> '$.download.status') = 'failed')::bigint as failed_count,
        ((payload ->> '$.download.status') = 'cancelled')::bigint as cancelled_count
    from {{ ref("events") }}
    where family = 'download'
    union all
    select
        app_id,
        region,
        error_code,
        event_date,
        event_hour,
        event_count,
        success_count,
        failed_count,
        cancelled_count
    from {{ source("published_gold", "download_errors_at_base") }}
    where
        {{ on_window_days("event_date") }}
        and {{ in_growing_hours("event_hour") }}
)

select
    app_id,
    region,
    error_code,
    event_hour as window_start,
    event_hour + interval 1 hour as window_end,
    event_date,
    event_hour,
    sum(event_count)::bigint as event_count,
    sum(success_count)::bigint as success_count,
    sum(failed_count)::bigint as failed_count,
    sum(cancelled_count)::bigint as cancelled_count
from parts
group by app_id, region, error_code, event_date, event_hour
