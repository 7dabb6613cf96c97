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
from {{ ref("int_user_hours") }}
where {{ in_window("event_hour") }}
group by app_id, family, event_type, platform, event_date, event_hour
