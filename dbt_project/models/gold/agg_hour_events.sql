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
    count(distinct user_id) as unique_users
from {{ ref("fct_user_hours") }}
group by app_id, family, event_type, platform, event_date, event_hour
