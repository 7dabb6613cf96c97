{#- Whole days: the hours of the build as built here, the other hours of those days as published at the base. -#}

with user_hours as (
    select
        app_id,
        family,
        event_type,
        platform,
        event_date,
        user_id,
        event_count
    from {{ ref("fct_user_hours") }}
    union all
    select
        app_id,
        family,
        event_type,
        platform,
        event_date,
        user_id,
        event_count
    from {{ source("published", "user_hours_at_base") }}
    where
        {{ on_window_days("event_date") }}
        and not ({{ in_window("event_hour") }})
)

select
    app_id,
    family,
    event_type,
    platform,
    event_date::timestamptz as window_start,
    event_date::timestamptz + interval 1 day as window_end,
    event_date,
    sum(event_count)::bigint as event_count,
    count(distinct user_id) as unique_users
from user_hours
group by app_id, family, event_type, platform, event_date
