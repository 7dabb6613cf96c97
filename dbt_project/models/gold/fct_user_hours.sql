select
    app_id,
    family,
    user_id,
    coalesce(platform, 'none') as platform,
    event_type,
    event_date,
    event_hour,
    count(*) as event_count
from {{ ref("events") }}
group by app_id, family, user_id, coalesce(platform, 'none'), event_type, event_date, event_hour
