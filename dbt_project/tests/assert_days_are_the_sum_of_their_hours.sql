{{ config(meta={
    "description": "A day has the events of its hours, built and published, and between the users of its busiest hour and those of all hours together.",
    "dagster": {"ref": {"name": "agg_day_events"}},
}) }}
with hours as (
    select
        app_id,
        family,
        event_type,
        platform,
        event_date,
        event_hour,
        event_count,
        unique_users
    from {{ ref("agg_hour_events") }}
    union all
    select
        app_id,
        family,
        event_type,
        platform,
        event_date,
        event_hour,
        sum(event_count) as event_count,
        count(distinct user_id) as unique_users
    from {{ source("published_gold", "user_hours_at_base") }}
    where
        {{ on_window_days("event_date") }}
        and not ({{ in_window("event_hour") }})
    group by app_id, family, event_type, platform, event_date, event_hour
),

summed as (
    select
        app_id,
        family,
        event_type,
        platform,
        event_date,
        sum(event_count) as event_count,
        max(unique_users) as fewest_users,
        sum(unique_users) as most_users
    from hours
    group by app_id, family, event_type, platform, event_date
)

select
    coalesce(days.app_id, summed.app_id) as app_id,
    coalesce(days.event_date, summed.event_date) as event_date,
    days.event_count as day_event_count,
    summed.event_count as hours_event_count,
    days.unique_users as day_unique_users,
    summed.fewest_users,
    summed.most_users
from {{ ref("agg_day_events") }} as days
full outer join summed
    on days.app_id = summed.app_id
        and days.family = summed.family
        and days.event_type = summed.event_type
        and days.platform = summed.platform
        and days.event_date = summed.event_date
where
    days.event_count is distinct from summed.event_count
    or days.unique_users not between summed.fewest_users and summed.most_users
