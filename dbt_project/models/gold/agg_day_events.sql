{#- Whole days: the hours of the window as they will be published, the other hours of those days as they are. -#}

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
from {{ ref("int_user_hours") }}
group by app_id, family, event_type, platform, event_date
