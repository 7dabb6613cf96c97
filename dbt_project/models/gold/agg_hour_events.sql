{#- What is published of a growing hour, and what arrived: a user hour of which nothing is published is one more user. -#}

with parts as (
    select
        app_id,
        family,
        event_type,
        platform,
        event_date,
        event_hour,
        arrived_count as event_count,
        (published_count = 0)::bigint as unique_users
    from {{ ref("int_arrived_user_hours") }}
    union all
    select
        app_id,
        family,
        event_type,
        platform,
        event_date,
        event_hour,
        event_count,
        unique_users
    from {{ source("published_gold", "hours_at_base") }}
    where
        {{ on_window_days("event_date") }}
        and {{ in_growing_hours("event_hour") }}
)

select
    app_id,
    family,
    event_type,
    platform,
    event_hour as window_start,
    event_hour + interval 1 hour as window_end,
    event_date,
    event_hour,
    sum(event_count)::bigint as event_count,
    sum(unique_users)::bigint as unique_users
from parts
group by app_id, family, event_type, platform, event_date, event_hour
