with events as (
    select
        app_id,
        family,
        event_type,
        coalesce(platform, 'none') as platform,
        time_bucket(interval 5 minutes, occurred_at) as window_start,
        event_date,
        event_hour,
        user_id
    from {{ ref("events") }}
)

select
    app_id,
    family,
    event_type,
    platform,
    window_start,
    window_start + interval 5 minutes as window_end,
    event_date,
    event_hour,
    count(*) as event_count,
    count(distinct user_id) as unique_users
from events
group by app_id, family, event_type, platform, window_start, event_date, event_hour
