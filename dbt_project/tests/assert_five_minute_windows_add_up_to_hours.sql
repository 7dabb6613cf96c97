{{ config(meta={
    "description": "Twelve windows of five minutes hold the events of their hour; an hour has as many users as its busiest window or more.",
    "dagster": {"ref": {"name": "agg_5min_events"}},
}) }}
with windows as (
    select
        app_id,
        family,
        event_type,
        platform,
        event_hour,
        sum(event_count) as event_count,
        max(unique_users) as most_users
    from {{ ref("agg_5min_events") }}
    group by app_id, family, event_type, platform, event_hour
)

select
    hours.app_id,
    hours.family,
    hours.event_type,
    hours.platform,
    coalesce(hours.event_hour, windows.event_hour) as event_hour,
    hours.event_count as hour_event_count,
    windows.event_count as windows_event_count,
    hours.unique_users as hour_unique_users,
    windows.most_users
from {{ ref("agg_hour_events") }} as hours
full outer join windows
    on hours.app_id = windows.app_id
        and hours.family = windows.family
        and hours.event_type = windows.event_type
        and hours.platform = windows.platform
        and hours.event_hour = windows.event_hour
where
    hours.event_count is distinct from windows.event_count
    or hours.unique_users < windows.most_users
